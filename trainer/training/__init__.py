"""The two training phases, as handlers on Ignite engines."""
