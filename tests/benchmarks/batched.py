"""LitServe: one of the designs compared. Its inference runs in a process of its own."""

from pathlib import Path
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Request
from PIL import Image

from bento.artifact import ONNX_FILE, Manifest, load_manifest
from tests.benchmarks.designs import answer

BATCH = 8


class Api(litserve.LitAPI):  # type: ignore[misc]
    """ONNX Runtime with batches, all cores in one session."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=0.005)
        self.folder = folder

    def setup(self, device: str) -> None:
        self.manifest: Manifest = load_manifest(self.folder)
        self.session = onnxruntime.InferenceSession(self.folder / ONNX_FILE)

    def decode_request(self, request: Request) -> Any:
        side = self.manifest.preprocessing.image_size
        return np.array(Image.open(request["file"].file).convert("L").resize((side, side)))

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.session.run(["probabilities"], {"images": x})[0]

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return answer(self.manifest.classes, output.tolist())


def serve(port: int, folder: Path) -> None:
    """Serve until killed."""
    server = litserve.LitServer(Api(folder), accelerator="cpu")
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
