"""A sealed model applied to image files, from the command line."""
