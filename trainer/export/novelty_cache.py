"""What a run has learnt of films outside its kind, kept for later runs: it depends on the frozen stages alone."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bento.artifact import NoveltyFit, ViewPoint
from trainer.export.novelty import Distance, Knowledge, Outside
from trainer.export.orientation import ViewHead
from trainer.features.augmentation import Augmentation
from trainer.features.prefix_cache import Prefix
from trainer.files import write_bytes

FORMAT = 3
"""To be raised with every change of how it is fitted: what is kept would be out of date."""


def knowledge_path(
    prefix: Prefix, films: tuple[str, str], augmentation: Augmentation, seed: int, cache: Path
) -> Path:
    """Its file in ``cache``, under the key of everything that determines what is in it.

    Args:
        prefix: the stages before the last blocks.
        films: keys of the training and of the validation films.
        augmentation: of the training films' views.
        seed: of films, views and simulated scanners.
        cache: folder.
    """
    content = json.dumps([FORMAT, prefix.digest(), films, repr(augmentation), seed])
    return cache / f"outside-{hashlib.sha256(content.encode()).hexdigest()[:16]}.safetensors"


def kept_knowledge(path: Path, cut: int, fit: Callable[[], Knowledge]) -> Knowledge:
    """What ``path`` holds; where it is missing or damaged, what ``fit`` gives, which is kept there."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            record = json.loads(file.metadata()["record"])
        return Knowledge(
            Outside(
                cut,
                Distance(tensors["mean"], tensors["whiten"]),
                ViewHead(tensors["weight"], tensors["bias"]),
            ).eval(),
            NoveltyFit.model_validate(record["novelty"]),
            [ViewPoint.model_validate(point) for point in record["views"]],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        knowledge = fit()
    outside = knowledge.outside
    record = {
        "novelty": knowledge.novelty.model_dump(),
        "views": [point.model_dump() for point in knowledge.views],
    }
    tensors = {**outside.distance.state_dict(), **outside.views.state_dict()}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(tensors, {"record": json.dumps(record)}))
    return knowledge
