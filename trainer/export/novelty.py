"""Novelty: how unlike its training images an image is; and the fit of novelty and orientation for a model.

Both are read off the frozen, pre-trained stages, pooled over the image. Fine-tuning collapses what its classes do not
need, and with it what tells an ankle from a chest; the stages before it keep that (measured: tests/benchmarks).

Novelty is the Mahalanobis distance (Lee et al. 2018) to the training images, untouched and in one of their views,
from a correlation matrix shrunk towards the identity, divided by the square root of the number of features. Classes
are not kept apart: that brought nothing. Its threshold lets 97.5 % of the validation images pass, also when they are
seen through other scanners, simulated: else every other hospital's images would be novel.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from bento.artifact import ORIENTATIONS, NoveltyFit, OrientationPoint
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.device import side_by_side
from trainer.export.orientation import TURNS, Change, OrientationHead, changed_images, orientation_points
from trainer.features.batches import Fetch
from trainer.features.dataset import Features, LabelledImages
from trainer.features.decoded_store import ImageFiles
from trainer.features.prefix_cache import BATCH, Prefix
from trainer.types import Array

METHOD = (
    "Mahalanobis distance of the pooled features of the frozen stages to the training images, "
    "divided by the square root of their number"
)
PASS = 0.975
"""Share of the validation images that must pass."""
SHRINKAGE = 0.9
LEAST_SPREAD = 0.1
"""Of a feature, in median standard deviations: one that hardly varies in training must not outweigh all others."""
SCANNER_STRENGTHS = (2, 3)
"""Of the simulated scanners that validation images are seen through."""
MOST_IMAGES = {
    "fit": 300,
    "views": 500,
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


class Distance(nn.Module):
    """Features N×D to novelty N, which is 1 for a typical training image."""

    mean: Tensor
    whiten: Tensor

    def __init__(self, mean: Tensor, whiten: Tensor) -> None:
        """``mean``: D. ``whiten``: D×D."""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)

    @classmethod
    def fit(cls, features: Array) -> "Distance":
        """From ``features`` N×D; any N from 1 on."""
        features = features.astype(np.float64)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        varying = spread[spread > 0]
        floor = LEAST_SPREAD * float(np.median(varying)) if len(varying) else 1.0
        spread = np.maximum(spread, floor)
        scaled = (features - mean) / spread
        values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        level = values.mean() or 1.0
        values = (1 - SHRINKAGE) * np.maximum(values, 0) + SHRINKAGE * level
        whiten = vectors / np.sqrt(values * len(values)) / spread[:, None]
        return cls(*(torch.tensor(value, dtype=torch.float32) for value in (mean, whiten)))

    def forward(self, features: Tensor) -> Tensor:
        return torch.sqrt(((features - self.mean) @ self.whiten).square().sum(dim=1))


class FrozenStageHeads(nn.Module):
    """The output N×C×h×w of the stages before ``cut`` to novelty N and orientation N×5."""

    def __init__(self, cut: int, distance: Distance, orientation: OrientationHead) -> None:
        super().__init__()
        self.cut, self.distance, self.orientation = cut, distance, orientation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = pooled(x)
        return self.distance(features[:, : x.shape[1]]), self.orientation(features)


@dataclass(frozen=True)
class FittedHeads:
    """Novelty and orientation with their thresholds."""

    heads: FrozenStageHeads
    novelty: NoveltyFit
    orientations: list[OrientationPoint]


def novelty_threshold(scores: Array, scanned: Array) -> float:
    """The least threshold that lets :data:`PASS` of both kinds of images pass: of untouched and of scanned ones."""
    return max(float(np.quantile(novelties, PASS, method="inverted_cdf")) for novelties in (scores, scanned))


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
    heads = _fit_heads(prefix, train, features.train[cut], rng)
    files = validation.files
    rows = _drawn(rng, len(validation.labels), MOST_IMAGES["validation"])
    plain = _read(features.validation[cut], rows, view=0)
    rows = rng.permutation(rows)
    scanned_rows = rows[: MOST_IMAGES["scanned"]]
    scanned = _features(prefix, changed_images(files, scanned_rows, [_scanner(rng, seed) for _ in scanned_rows]))
    means = plain.shape[1] // 2
    scores = _run(heads.distance, plain[:, :means])
    threshold = novelty_threshold(scores, _run(heads.distance, scanned[:, :means]))
    novelty = NoveltyFit(
        method=METHOD,
        images=min(len(train.labels), MOST_IMAGES["fit"]),
        threshold=threshold,
        validation_pass=float((scores <= threshold).mean()),
        test_flagged=None,
    )
    few = rows[: MOST_IMAGES["turned validation"]]
    turned = {kind: _run(heads.orientation, _turned(prefix, files, few, change)) for kind, change in TURNS.items()}
    return FittedHeads(heads, novelty, orientation_points(_run(heads.orientation, plain), turned))


def _fit_heads(prefix: Prefix, train: LabelledImages, views: Fetch, rng: np.random.Generator) -> FrozenStageHeads:
    rows = _drawn(rng, len(train.labels), MOST_IMAGES["fit"])
    plain = _features(prefix, np.asarray(train.images[rows]))
    other = _read(views, _drawn(rng, len(train.labels), MOST_IMAGES["views"]), view=1)
    distance = Distance.fit(np.concatenate([plain, other])[:, : plain.shape[1] // 2])
    few = np.sort(rng.permutation(len(rows))[: MOST_IMAGES["turned"]])
    turned = [_turned(prefix, train.files, rows[few], change) for change in TURNS.values()]
    upright = [plain[few], other[: len(few)]]
    counts = [sum(map(len, upright)), *map(len, turned)]
    orientation = OrientationHead.fit(
        np.concatenate([*upright, *turned]), np.repeat(np.arange(len(ORIENTATIONS)), counts)
    )
    return FrozenStageHeads(prefix.cuts[0], distance, orientation).eval()


def _drawn(rng: np.random.Generator, images: int, most: int) -> Array:
    return np.arange(images) if images <= most else np.sort(rng.choice(images, most, replace=False))


def _features(prefix: Prefix, images: Array) -> Array:
    """``float32`` N×2C of grey images N×S×S in [0, 255]."""

    def pool(batch: Tensor) -> Array:
        features: Array = pooled(prefix.outputs(batch)[0]).cpu().numpy()
        return features

    prefix.stages  # noqa: B018 - once, before the threads ask for them
    return np.concatenate(list(side_by_side(pool, torch.split(torch.as_tensor(images), BATCH), prefix.device)))


@torch.inference_mode()
def _read(fetch: Fetch, rows: Array, view: int) -> Array:
    """``float32`` N×2C of one view of those images."""
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    return np.concatenate([pooled(fetch(batch, view)).cpu().numpy() for batch in batches])


def _turned(prefix: Prefix, files: ImageFiles, rows: Array, change: Change) -> Array:
    return _features(prefix, changed_images(files, rows, [change] * len(rows)))


def _scanner(rng: np.random.Generator, seed: int) -> Change:
    corruption, strength = CORRUPTIONS[rng.integers(len(CORRUPTIONS))], int(rng.choice(SCANNER_STRENGTHS))
    return partial(corrupt, corruption=corruption, strength=strength, seed=seed)


@torch.inference_mode()
def _run(module: nn.Module, features: Array) -> Array:
    result: Array = module(torch.from_numpy(features)).numpy()
    return result
