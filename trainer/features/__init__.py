"""What the trained layers are fed: decoded images, the cached outputs of the frozen stages, augmentation, batches."""
