"""Backbones: networks cut into stages, their pretrained weights, and the classifier on top."""
