"""Code blocks of the documents, run as a reader would: in a folder with images, quickly."""

import os
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.support.server import ROOT
from trainer.data import sample

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUICK = {
    "TRAINER_IMAGE_SIZE": "64",
    "TRAINER_EPOCHS_A": "1",
    "TRAINER_EPOCHS_B": "1",
    "TRAINER_VIEWS": "2",
    "TRAINER_TARGET_SENSITIVITY": "0.5",  # which few validation images are enough for
}


def blocks(document: Path, language: str) -> list[str]:
    """The document's code blocks of one language, in their order."""
    return [text for kind, text in BLOCK.findall(document.read_text(encoding="utf-8")) if kind == language]


def prepare(folder: Path) -> dict[str, str]:
    """Put into a folder what the documents' commands name; the environment that makes them quick."""
    sample.write(folder / "path/to/images", sample.SampleSet(images=90, size=64, hospitals=2, seed=3))
    first = next((folder / "path/to/images").rglob("*.png"))
    Image.open(first).save(folder / "image.png")
    activate = folder / ".venv/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    return os.environ | QUICK | {"PYTHONPATH": str(ROOT), "BENTOML_HOME": str(folder / "home")}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Standard output of a command, which must succeed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
