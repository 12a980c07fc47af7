"""The designs that are compared: ``python -m tests.benchmarks.designs NAME PORT FOLDER`` serves one.

FOLDER is an artifact's. Each is written as its own documentation shows it, and answers ``POST /predict``; all but
``noop`` with the same trained model.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from starlette.types import ASGIApp, Receive, Scope, Send

from bento.artifact import WEIGHTS_FILE, load_manifest

ROOT = Path(__file__).resolve().parents[2]


class TorchModel:
    """The weights in eager PyTorch: decode to RGB, resize, one forward pass an image."""

    def __init__(self, folder: Path) -> None:
        import torch

        from trainer.models.backbones import build_classifier

        self.manifest = load_manifest(folder)
        classes = len(self.manifest.classes)
        weights = str(folder / WEIGHTS_FILE)
        self.model = build_classifier(self.manifest.model_name, classes, weights=weights).eval()
        self.torch = torch

    def __call__(self, image: Image.Image) -> dict[str, Any]:
        side = self.manifest.preprocessing.image_size
        grey = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR).convert("L")
        with self.torch.inference_mode():
            logits = self.model(self.torch.from_numpy(np.array(grey))[None])
            probabilities = self.torch.softmax(logits / self.manifest.temperature, dim=1)[0].tolist()
        return answer(self.manifest.classes, probabilities)


def answer(classes: list[str], probabilities: list[float]) -> dict[str, Any]:
    """As the reference project has it."""
    ranked = sorted(zip(classes, probabilities, strict=True), key=lambda pair: -pair[1])[:3]
    return {
        "top_k": len(ranked),
        "predictions": [{"label": label, "confidence": value} for label, value in ranked],
    }


def plain(port: int, folder: Path) -> None:
    """FastAPI + PyTorch, as the reference project serves: everything in the event loop."""
    model = TorchModel(folder)
    app = FastAPI()

    @app.post("/predict")
    async def predict(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        return model(Image.open(io.BytesIO(await file.read())))

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def litserve(port: int, folder: Path) -> None:
    """LitServe with ONNX Runtime and batches, all cores in one session."""
    from tests.benchmarks.batched import serve

    serve(port, folder)


def noop(port: int, folder: Path) -> None:
    """Reads the body and answers: what remains is the load client's own cost."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["type"] == "http" and (await receive()).get("more_body"):
            pass
        body = json.dumps(answer(["A", "B", "C"], [0.5, 0.3, 0.2])).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    asgi: ASGIApp = app
    uvicorn.run(asgi, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


def _bentoml(port: int, folder: Path, target: str) -> None:
    os.environ["NAIVE_ARTIFACT"] = str(folder)
    command = ("-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port))
    os.execv(sys.executable, (sys.executable, *command))


def naive(port: int, folder: Path) -> None:
    """BentoML as its tutorial shows it: an image parameter, eager PyTorch."""
    _bentoml(port, folder, "tests.benchmarks.naive:Naive")


def ours(port: int, folder: Path) -> None:
    """This project's service."""
    os.environ["CHEST_XRAY_MODEL"] = f"{folder.parent.name}:{folder.name}"
    _bentoml(port, folder, ".")


DESIGNS = {"noop": noop, "plain": plain, "litserve": litserve, "naive": naive, "ours": ours}


if __name__ == "__main__":
    DESIGNS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
