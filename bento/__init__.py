"""Everything that runs in production: the artifact's contract, image intake, the predictor, the service.

This package never imports torch or ``trainer``.
"""

import os

# Before onnxruntime is loaded anywhere: from 1.32 on its wheels report their use unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
