"""Everything that runs in production: the artifact's contract, image intake, the predictor, the service.

This package never imports torch or ``trainer``.
"""
