"""Calibrating a stored model on a generated hospital, and what is stored then."""

from pathlib import Path

import bentoml

from bento.artifact import Manifest, load_manifest
from tests.support.datasets import Row
from trainer.cli import main
from trainer.publishing.stored_models import stored_tags

MODEL = "chest_xray:base"


def rows(ill: int, well: int, site: str = "north", each: int = 1) -> list[Row]:
    """Images of patients with and without tuberculosis, ``each`` of every patient."""
    labels = [("TUBERCULOSIS", number) for number in range(ill)] + [("NORMAL", number) for number in range(well)]
    return [
        (f"{label}/{site}{number}_{image}.png", label, site, f"{label}{number}")
        for label, number in labels
        for image in range(each)
    ]


def calibrate(dataset: Path, out: Path, *more: str) -> int:
    return main(["calibrate", "--model", MODEL, "--dataset", str(dataset), "--out", str(out), *more])


def calibrated() -> Manifest:
    """The manifest of the one calibrated model in the store."""
    (tag,) = [tag for tag in stored_tags() if tag != MODEL]
    return load_manifest(Path(bentoml.models.get(tag).path))
