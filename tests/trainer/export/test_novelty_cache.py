"""Novelty and orientation are kept once fitted, and fitted anew where they are not what is asked for."""

from pathlib import Path

import numpy as np
import torch

from bento.artifact import ORIENTATIONS, NoveltyFit, OrientationPoint
from trainer.export.likeness import Novelty
from trainer.export.novelty import FittedHeads, FrozenStageHeads
from trainer.export.novelty_cache import cached_novelty, novelty_path
from trainer.export.orientation import OrientationHead
from trainer.features.augmentation import Augmentation
from trainer.features.prefix_cache import Prefix
from trainer.features.store import Store
from trainer.models.backbones import build_classifier

CPU = torch.device("cpu")


class Fit:
    """Fits random features, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> FittedHeads:
        self.times += 1
        rng = np.random.default_rng(self.times)
        features = rng.normal(size=(40, 4)).astype(np.float32)
        cells = torch.from_numpy(rng.normal(size=(40, 2, 7, 7)).astype(np.float32))
        heads = FrozenStageHeads(
            6,
            Novelty.fit(cells, np.repeat("A", 40)),
            OrientationHead.fit(features, np.arange(40) % len(ORIENTATIONS)),
        )
        novelty = NoveltyFit(method="m", images=40, threshold=1.5, validation_pass=0.98, test_flagged=None)
        point = OrientationPoint(
            kind="inverted",
            threshold=0.5,
            validation_recall=1,
            validation_false_alarms=0,
            test_false_alarms=None,
        )
        return FittedHeads(heads.eval(), novelty, [point])


def test_it_is_fitted_once_and_kept_whole(tmp_path: Path) -> None:
    path, fit = tmp_path / "cache" / "novelty.safetensors", Fit()
    first, second = (cached_novelty(path, 6, fit) for _ in range(2))
    assert fit.times == 1
    kept = second.heads.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in first.heads.state_dict().items())
    assert (first.novelty, first.orientations, first.heads.cut) == (
        second.novelty,
        second.orientations,
        second.heads.cut,
    )


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path, fit = tmp_path / "novelty.safetensors", Fit()
    cached_novelty(path, 6, fit)
    whole = path.read_bytes()
    renamed = whole.replace(b"novelty", b"novelly")
    for damaged in (b"", whole[:50], whole[:-1], renamed):
        path.write_bytes(damaged)
        times = fit.times
        cached_novelty(path, 6, fit)
        assert fit.times == times + 1
        cached_novelty(path, 6, fit)
        assert fit.times == times + 1


def test_its_key_holds_weights_images_views_and_seed(tmp_path: Path) -> None:
    def path(weights_seed: int = 0, cut: int = 4, radiographs: str = "a", rotation: float = 5, seed: int = 1) -> Path:
        torch.manual_seed(weights_seed)
        model = build_classifier("resnet18", 3, weights="none")
        turned = Augmentation(rotation, 0.03, 0.05, 0.1, 0.2, 0, False)
        return novelty_path(Store(tmp_path, 0), Prefix(model, (cut,), CPU), (radiographs, "v"), turned, seed)

    others = {path(weights_seed=1), path(cut=3), path(radiographs="b"), path(rotation=6), path(seed=2)}
    assert path() == path()
    assert len(others | {path()}) == 6
