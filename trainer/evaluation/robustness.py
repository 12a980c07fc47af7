"""What a model loses on the images of simulated scanners: macro F1 under each corruption and strength."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel
from tqdm import tqdm

from bento.artifact import Interval
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake, fit
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.bootstrap import Figures, intervals, macro_f1
from trainer.evaluation.scoring import check_labels
from trainer.inference.image_stream import each_intake
from trainer.types import Array, Floats, Integers

BATCH = 16


class Losses(BaseModel):
    """Macro F1 of one set of images, clean and corrupted, with intervals by patient."""

    radiographs: int
    clean: Interval
    corrupted: dict[str, dict[int, Interval]]
    """By corruption, then by strength."""
    loss: dict[int, Interval]
    """By strength: clean less the mean over all corruptions (paired bootstrap)."""


class Robustness(BaseModel):
    """What the simulated scanners cost, over all images and within each site."""

    seed: int
    all: Losses
    by_site: dict[str, Losses]


def measure_robustness(
    radiographs: Sequence[Radiograph],
    classes: list[str],
    session: Session,
    spec: Preprocessing,
    strengths: Sequence[int] = (3,),
    workers: int = 0,
    seed: int = 0,
) -> Robustness:
    """Judge images as they are and under every corruption at the strengths wanted; unreadable ones are left out.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """
    check_labels(radiographs, classes)

    def judge(_: Path, taken: Intake) -> Array:
        corrupted = (corrupt(taken.radiograph, one, strength, seed) for one in CORRUPTIONS for strength in strengths)
        images = np.stack([taken.image, *(fit(radiograph, spec).image for radiograph in corrupted)])
        parts = [session.predict(images[i : i + BATCH]).probabilities for i in range(0, len(images), BATCH)]
        return np.asarray(np.concatenate(parts).argmax(axis=1))

    results = each_intake([radiograph.file for radiograph in radiographs], spec, judge, workers)
    kept, rows = [], []
    for radiograph, (_, result) in zip(
        radiographs, tqdm(results, total=len(radiographs), desc="corrupt", leave=False), strict=True
    ):
        if not isinstance(result, ImageError):
            kept.append(radiograph)
            rows.append(result)
    if not rows:
        raise UserError("none of the images can be read")
    truth = np.array([classes.index(radiograph.label) for radiograph in kept])
    predicted = np.stack(rows, axis=1)
    patients, sites = [radiograph.patient for radiograph in kept], [radiograph.site for radiograph in kept]

    def losses(site: str | None) -> Losses:
        chosen = np.array([site in (None, name) for name in sites])
        own = [patient for patient, taken in zip(patients, chosen, strict=True) if taken]
        return _losses(truth[chosen], predicted[:, chosen], len(classes), own, strengths)

    named = sorted(set(sites) - {""})
    return Robustness(seed=seed, all=losses(None), by_site={name: losses(name) for name in named})


def _losses(
    truth: Integers, predicted: Integers, classes: int, patients: Sequence[str], strengths: Sequence[int]
) -> Losses:
    """``predicted``: class indices of N images, in rows: clean, then each corruption at each strength."""

    def figures(weights: Floats) -> Figures:
        clean, *others = (macro_f1(truth, row, classes, weights) for row in predicted)
        found = {"clean": clean}
        for i, corruption in enumerate(CORRUPTIONS):
            for j, strength in enumerate(strengths):
                found[f"{corruption.name} {strength}"] = others[i * len(strengths) + j]
        for j, strength in enumerate(strengths):
            found[f"loss {strength}"] = clean - np.mean(others[j :: len(strengths)], axis=0)
        return found

    found = intervals(figures, patients)
    return Losses(
        radiographs=len(truth),
        clean=found["clean"],
        corrupted={
            one.name: {strength: found[f"{one.name} {strength}"] for strength in strengths} for one in CORRUPTIONS
        },
        loss={strength: found[f"loss {strength}"] for strength in strengths},
    )


def robustness_table(title: str, losses: Losses) -> str:
    """The figures as text for a terminal: a row a corruption, a column a strength, 0 being the clean images."""
    strengths = list(losses.loss)
    lines = [
        f"{title}: {losses.radiographs} images, macro F1 under each corruption, by strength",
        f"{'':12}{'0':>8}" + "".join(f"{strength:>8}" for strength in strengths),
    ]
    for name, row in losses.corrupted.items():
        lines.append(f"{name:12}{losses.clean.value:8.3f}" + "".join(f"{row[one].value:8.3f}" for one in strengths))
    for strength, loss in losses.loss.items():
        lines.append(f"mean loss at strength {strength}: {loss.value:.3f} ({loss.low:.3f} to {loss.high:.3f})")
    return "\n".join(lines)
