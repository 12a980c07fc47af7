"""Novelty: how unlike its training images an image is; and the fit of novelty and orientation for a model.

Both are read off the frozen, pre-trained stages. Fine-tuning collapses what its classes do not need, and with it what
tells an ankle from a chest; the stages before it keep that (measured: tests/benchmarks).

Novelty is how far an image's layout is none that the training images have, see :mod:`trainer.export.likeness`. Its
threshold lets 98 % of the validation images pass, also when they are seen through other scanners, simulated, and when
nothing was fitted to their site: else every other hospital's images would be novel.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bento.artifact import ORIENTATIONS, NoveltyFit, OrientationPoint
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.device import side_by_side
from trainer.export.likeness import Novelty, cells
from trainer.export.orientation import TURNS, Change, OrientationHead, changed_images, orientation_points
from trainer.features.batches import Fetch
from trainer.features.dataset import Features, LabelledImages
from trainer.features.decoded_store import ImageFiles
from trainer.features.prefix_cache import Prefix
from trainer.types import Array

METHOD = (
    "share of the frozen stages' output, averaged to cells, outside of the subspace of the training images' layouts, "
    "where it fits best, divided by a typical validation image's"
)
PASS = 0.98
"""Share of the validation images that must pass."""
SCANNER_STRENGTHS = (2, 3)
"""Of the simulated scanners that validation images are seen through."""
MOST_IMAGES = {
    "fit": 300,
    "validation": 500,
    "scanned": 150,
    "turned": 80,
    "turned validation": 40,
}
"""Images that are looked at, drawn at random where there are more. Augmented views and validation images come from the
frozen-prefix cache; every other one costs a pass through the frozen stages."""


def pooled(x: Tensor) -> Tensor:
    """Feature maps N×C×h×w to the mean and then the standard deviation of each channel, N×2C."""
    mean = x.mean(dim=(2, 3))
    variance = (x - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=1)


class FrozenStageHeads(nn.Module):
    """The output N×C×h×w of the stages before ``cut`` to novelty N and orientation N×5."""

    def __init__(self, cut: int, novelty: Novelty, orientation: OrientationHead) -> None:
        super().__init__()
        self.cut, self.novelty, self.orientation = cut, novelty, orientation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.novelty(cells(x)), self.orientation(pooled(x))


@dataclass(frozen=True)
class FittedHeads:
    """Novelty and orientation with their thresholds."""

    heads: FrozenStageHeads
    novelty: NoveltyFit
    orientations: list[OrientationPoint]


class Seen(NamedTuple):
    """What the heads are fitted to and judged by, of N images: the frozen stages' output, averaged."""

    cells: Tensor
    """N×C×7×7."""
    pooled: Tensor
    """N×2C."""

    @classmethod
    def of(cls, batches: Iterable[Tensor]) -> "Seen":
        """From batches of feature maps N×C×h×w."""
        parts = [(cells(x.float()).cpu(), pooled(x.float()).cpu()) for x in batches]
        return cls(*map(torch.cat, zip(*parts, strict=True)))


class Sites(NamedTuple):
    """Cells N×C×7×7 of images, and their sites and groups, N names each."""

    cells: Tensor
    names: Array
    groups: Array = np.zeros(0)


def novelty_threshold(*scores: Array) -> float:
    """The least threshold that lets :data:`PASS` of each of several kinds of images pass; a kind may have none."""
    return max(float(np.quantile(kind, PASS, method="inverted_cdf")) for kind in scores if len(kind))


def fit_novelty(
    prefix: Prefix, train: LabelledImages, validation: LabelledImages, features: Features, seed: int
) -> FittedHeads:
    """Fit novelty and orientation to training images and choose their thresholds on validation images.

    A function of the images, the frozen stages and ``seed``; no global random state is read or changed.

    Args:
        prefix: the frozen stages, with one cut: the first stage that is trained.
        train: at least one image.
        validation: at least one image.
        features: outputs of the stages before the cut for both, of the training images in their views.
        seed: draws images and simulated scanners.
    """
    rng = np.random.default_rng([seed, 97])
    (cut,) = prefix.cuts
    rows = _drawn(rng, len(train.labels), MOST_IMAGES["fit"])
    training = _seen(prefix, np.asarray(train.images[rows]))
    groups, sites = np.array(train.groups)[rows], np.array(train.sites)[rows]
    novelty = Novelty.fit(training.cells, groups)
    orientation = _fit_orientation(prefix, train, features.train[cut], (rows, training.pooled), rng)
    files = validation.files
    rows = _drawn(rng, len(validation.labels), MOST_IMAGES["validation"])
    plain = Seen.of(_read(features.validation[cut], rows, view=0))
    novelty.measure_by(plain.cells)
    left_out = _scores_left_out(
        novelty, Sites(training.cells, sites, groups), Sites(plain.cells, np.array(validation.sites)[rows])
    )
    rows = rng.permutation(rows)
    scanned_rows = rows[: MOST_IMAGES["scanned"]]
    scanned = _seen(prefix, changed_images(files, scanned_rows, [_scanner(rng, seed) for _ in scanned_rows]))
    scores = _run(novelty, plain.cells)
    threshold = novelty_threshold(scores, _run(novelty, scanned.cells), left_out)
    fitted = NoveltyFit(
        method=METHOD,
        images=min(len(train.labels), MOST_IMAGES["fit"]),
        threshold=threshold,
        validation_pass=float((scores <= threshold).mean()),
        test_flagged=None,
    )
    few = rows[: MOST_IMAGES["turned validation"]]
    turned = {kind: _run(orientation, _turned(prefix, files, few, change)) for kind, change in TURNS.items()}
    heads = FrozenStageHeads(cut, novelty, orientation).eval()
    return FittedHeads(heads, fitted, orientation_points(_run(orientation, plain.pooled), turned))


def _scores_left_out(novelty: Novelty, training: Sites, validation: Sites) -> Array:
    """Scores of the validation images of each site by what is fitted to the other sites; none where there is one."""
    scores = [np.zeros(0)]
    for site in sorted(set(validation.names.tolist())):
        others, own = training.names != site, validation.names == site
        if others.any() and not others.all():
            fitted = Novelty.fit(training.cells[others], training.groups[others])
            fitted.typical = novelty.typical  # in the same unit
            scores.append(_run(fitted, validation.cells[own]))
    return np.concatenate(scores)


def _fit_orientation(
    prefix: Prefix, train: LabelledImages, views: Fetch, plain: tuple[Array, Tensor], rng: np.random.Generator
) -> OrientationHead:
    """``plain``: rows of the training images and their pooled output."""
    rows, features = plain
    other = Seen.of(_read(views, _drawn(rng, len(train.labels), MOST_IMAGES["turned"]), view=1)).pooled
    few = np.sort(rng.permutation(len(rows))[: MOST_IMAGES["turned"]])
    turned = [_turned(prefix, train.files, rows[few], change) for change in TURNS.values()]
    upright = [features[few], other]
    counts = [sum(map(len, upright)), *map(len, turned)]
    known = torch.cat([*upright, *turned]).numpy()
    return OrientationHead.fit(known, np.repeat(np.arange(len(ORIENTATIONS)), counts))


def _drawn(rng: np.random.Generator, images: int, most: int) -> Array:
    return np.arange(images) if images <= most else np.sort(rng.choice(images, most, replace=False))


def _seen(prefix: Prefix, images: Array) -> Seen:
    """Of grey images N×S×S in [0, 255]."""
    prefix.stages  # noqa: B018 - once, before the threads ask for them

    def outputs(batch: Tensor) -> Tensor:
        return prefix.outputs(batch)[0]

    return Seen.of(side_by_side(outputs, torch.split(torch.as_tensor(images), prefix.batch), prefix.device))


def _read(fetch: Fetch, rows: Array, view: int) -> Iterator[Tensor]:
    """The frozen stages' output for one view of those images, in batches."""
    for part in np.array_split(rows, -(-len(rows) // 32)):
        with torch.inference_mode():
            yield fetch(part, view)


def _turned(prefix: Prefix, files: ImageFiles, rows: Array, change: Change) -> Tensor:
    return _seen(prefix, changed_images(files, rows, [change] * len(rows))).pooled


def _scanner(rng: np.random.Generator, seed: int) -> Change:
    corruption, strength = CORRUPTIONS[rng.integers(len(CORRUPTIONS))], int(rng.choice(SCANNER_STRENGTHS))
    return partial(corrupt, corruption=corruption, strength=strength, seed=seed)


@torch.inference_mode()
def _run(module: nn.Module, features: Tensor) -> Array:
    result: Array = module(features).numpy()
    return result
