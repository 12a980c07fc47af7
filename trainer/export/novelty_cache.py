"""Novelty and orientation as they were fitted, kept for later runs: they depend on the frozen stages alone."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bento.artifact import NoveltyFit, OrientationPoint
from trainer.export.likeness import Novelty
from trainer.export.novelty import FittedHeads, FrozenStageHeads
from trainer.export.orientation import OrientationHead
from trainer.features.augmentation import Augmentation
from trainer.features.prefix_cache import Prefix
from trainer.features.store import Store
from trainer.files import write_bytes

FORMAT = 6
"""To be raised with every change of how they are fitted, which makes the kept files out of date."""


def novelty_path(store: Store, prefix: Prefix, keys: tuple[str, str], augmentation: Augmentation, seed: int) -> Path:
    """File of the fit to training and validation images of those ``keys``, on the output of ``prefix``."""
    return store.path("novelty", FORMAT, prefix.digest(), keys, repr(augmentation), seed, suffix=".safetensors")


def cached_novelty(path: Path, cut: int, fit: Callable[[], FittedHeads]) -> FittedHeads:
    """What ``path`` holds; where it is missing or damaged, what ``fit`` gives, which is kept there."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            record = json.loads(file.metadata()["record"])
        return FittedHeads(
            FrozenStageHeads(
                cut,
                Novelty(*(tensors[name] for name in ("mean", "spread", "directions", "typical"))),
                OrientationHead(tensors["weight"], tensors["bias"]),
            ).eval(),
            NoveltyFit.model_validate(record["novelty"]),
            [OrientationPoint.model_validate(point) for point in record["orientations"]],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        fitted = fit()
    heads = fitted.heads
    record = {
        "novelty": fitted.novelty.model_dump(),
        "orientations": [point.model_dump() for point in fitted.orientations],
    }
    tensors = {**heads.novelty.state_dict(), **heads.orientation.state_dict()}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(tensors, {"record": json.dumps(record)}))
    return fitted
