"""A stored model whose threshold halves a folder of blotches, and the scores that it gives them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bento.artifact import MANIFEST_FILE
from bento.inference.odds import odds
from tests.support.artifacts import store_artifact
from tests.support.calibrations import rows
from tests.support.datasets import table
from trainer.data.listing import Radiograph
from trainer.evaluation.scoring import score_images
from trainer.inference.model_store import SealedModel, stored_model

TAG = "chest_xray:at-a-site"
IMAGES = 90
Label = Callable[[int, str, bool], str]
"""Gives an image's label by its place in the order of the scores, its path, and whether it is flagged."""


@dataclass(frozen=True)
class Site:
    """A folder of images, and what the model says of them."""

    folder: Path
    scores: dict[str, float]
    """Odds of tuberculosis by the image's path, in the order of the scores."""
    threshold: float

    def labelled(self, table: Path, label: Label, columns: str = "", last: int = IMAGES) -> Path:
        """Write a table of the images: labels by each one's place in the order of the scores, path, and flag.

        A label may bring more cells, for ``columns``.
        """
        rows = [
            f"{path},{label(place, path, score >= self.threshold)}"
            for place, (path, score) in enumerate(self.scores.items())
        ]
        table.write_text("\n".join([f"path,label{columns}", *rows[:last]]) + "\n")
        return table


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    rng = np.random.default_rng(5)
    for number in range(IMAGES):
        blotches = Image.fromarray(rng.integers(0, 200, (9, 9), dtype=np.uint8))
        blotches.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"image{number:03d}.png")
    stored = store_artifact(TAG.partition(":")[2])
    predictor = stored_model(TAG)
    files = sorted(folder.iterdir())
    listed = [Radiograph(file, file.name, "NORMAL") for file in files]
    answers = score_images(listed, SealedModel.of(predictor)).probabilities
    scores = odds(answers, predictor.manifest.classes, "TUBERCULOSIS", "NORMAL")
    threshold = float(np.median(scores))
    path = stored / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["novelty"]["threshold"] = 0.6
    for point in manifest["operating_points"]:
        point["threshold"] = threshold
    path.write_text(json.dumps(manifest))
    order = np.argsort(scores).tolist()
    return Site(folder, {files[place].name: float(scores[place]) for place in order}, threshold)


@pytest.fixture
def base(own_store: Path) -> Path:
    """Folder of the stored model."""
    return store_artifact("base")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A hospital's images: 18 patients with tuberculosis, 14 without."""
    return table(tmp_path / "local", rows(18, 14))
