"""Macro F1 on images as simulated other scanners would give them, under each corruption and strength."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from bento.artifact import Interval
from bento.imaging.intake import Intake, fit
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.data.listing import Radiograph
from trainer.evaluation.bootstrap import MetricValues, intervals, macro_f1
from trainer.evaluation.figures import figure, figure_with_interval
from trainer.evaluation.scoring import judge_each
from trainer.evaluation.seen_images import SeenImages
from trainer.inference.model_store import SealedModel
from trainer.types import Array, Floats, Integers

BATCH = 16


class Losses(BaseModel):
    """Macro F1 of one set of images, clean and corrupted, with intervals by patient."""

    radiographs: int
    clean: Interval
    corrupted: dict[str, dict[int, Interval]]
    """By corruption, then by strength."""
    loss: dict[int, Interval]
    """By strength: clean macro F1 less its mean over all corruptions (paired bootstrap)."""


class Robustness(BaseModel):
    """What the simulated scanners cost, over all images and within each site."""

    seed: int
    all: Losses
    by_site: dict[str, Losses]
    seen_images: SeenImages | None = None
    """Of a stored model: what was left out because the model was made with it."""


def measure_robustness(
    radiographs: Sequence[Radiograph],
    model: SealedModel,
    strengths: Sequence[int] = (3,),
    seed: int = 0,
) -> Robustness:
    """Judge images as they are and under every corruption at the wanted strengths; unreadable ones are left out.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """

    def judge(taken: Intake) -> Array:
        corrupted = (
            corrupt(taken.radiograph, corruption, strength, seed)
            for corruption in CORRUPTIONS
            for strength in strengths
        )
        images = np.stack([taken.image, *(fit(radiograph, model.preprocessing).image for radiograph in corrupted)])
        batches = [model.session.predict(images[i : i + BATCH]).probabilities for i in range(0, len(images), BATCH)]
        return np.asarray(np.concatenate(batches).argmax(axis=1))

    kept, rows, _ = judge_each(radiographs, model, judge, "corrupt")
    truth = np.array([model.classes.index(radiograph.label) for radiograph in kept])
    predicted = np.stack(rows, axis=1)
    patients, sites = [radiograph.person for radiograph in kept], [radiograph.site for radiograph in kept]

    def losses(site: str | None) -> Losses:
        chosen = np.array([site in (None, name) for name in sites])
        of_site = [patient for patient, kept in zip(patients, chosen, strict=True) if kept]
        return _losses(truth[chosen], predicted[:, chosen], len(model.classes), of_site, strengths)

    named = sorted(set(sites) - {""})
    return Robustness(seed=seed, all=losses(None), by_site={name: losses(name) for name in named})


def _losses(
    truth: Integers, predicted: Integers, classes: int, patients: Sequence[str], strengths: Sequence[int]
) -> Losses:
    """``predicted``: class indices R×N; a row each for the clean images, then each corruption at each strength."""

    def metrics(weights: Floats) -> MetricValues:
        clean, *others = (macro_f1(truth, row, classes, weights) for row in predicted)
        values = {"clean": clean}
        for i, corruption in enumerate(CORRUPTIONS):
            for j, strength in enumerate(strengths):
                values[f"{corruption.name} {strength}"] = others[i * len(strengths) + j]
        for j, strength in enumerate(strengths):
            values[f"loss {strength}"] = clean - np.mean(others[j :: len(strengths)], axis=0)
        return values

    macro_f1s = intervals(metrics, patients)
    return Losses(
        radiographs=len(truth),
        clean=macro_f1s["clean"],
        corrupted={
            corruption.name: {strength: macro_f1s[f"{corruption.name} {strength}"] for strength in strengths}
            for corruption in CORRUPTIONS
        },
        loss={strength: macro_f1s[f"loss {strength}"] for strength in strengths},
    )


def robustness_table(title: str, losses: Losses) -> str:
    """Macro F1 as text for a terminal: a row per corruption, a column per strength, 0 being the clean images."""
    strengths = list(losses.loss)
    lines = [
        f"{title}: {losses.radiographs} images, macro F1 under each corruption, by strength",
        f"{'':12}{'0':>8}" + "".join(f"{strength:>8}" for strength in strengths),
    ]
    for name, row in losses.corrupted.items():
        values = (figure(metric.value, losses.radiographs) for metric in (losses.clean, *row.values()))
        lines.append(f"{name:12}" + "".join(f"{text:>8}" for text in values))
    for strength, loss in losses.loss.items():
        lines.append(f"mean loss at strength {strength}: {figure_with_interval(loss, losses.radiographs)}")
    return "\n".join(lines)
