"""BentoML as its tutorial shows it: one of the designs compared."""

import os
from pathlib import Path
from typing import Any

import bentoml
from PIL.Image import Image

from tests.benchmarks.designs import TorchModel


@bentoml.service
class Naive:
    """Image parameter, eager PyTorch."""

    def __init__(self) -> None:
        self.model = TorchModel(Path(os.environ["NAIVE_ARTIFACT"]))

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, file: Image) -> dict[str, Any]:
        """Classify one image."""
        return self.model(file)
