"""A run becomes a stored model: the test set read once, the manifest sealed, the version stored and promoted."""
