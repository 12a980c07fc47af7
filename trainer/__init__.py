"""Everything that makes a model artifact: sources, split, training, evaluation, publication."""
