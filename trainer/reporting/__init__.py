"""The report, the model card and comparisons: views of what the evaluation has written down. No PyTorch."""
