"""The sealed model and its answer; knows nothing of HTTP."""
