"""Judging a sealed model: metrics with intervals, calibration, operating points, controls, audits. No PyTorch."""
