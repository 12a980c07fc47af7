"""The HTTP side of the service: routes, uploads, limits, keys, logs and metrics."""
