"""A sealed model applied to image files. No PyTorch."""
