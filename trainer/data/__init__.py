"""Datasets in: from folders, manifests, Kaggle or the sample generator to a split table of images."""
