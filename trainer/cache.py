"""The frozen-prefix cache: what is frozen is computed once.

The prefix's output for each image and each of K augmented views is kept on disk as ``float16``, under a key made
of everything that determines it; an epoch then runs the trained tail only. Phase A's tail is the head, Phase B's
the last blocks and the head: one pass through the backbone fills both caches.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from trainer.arrays import Array, create_array, open_array
from trainer.augment import Augmentation
from trainer.backbones import Classifier

BATCH = 32


def prefix_outputs(
    model: Classifier,
    cuts: Sequence[int],
    images: Array,
    fingerprint: str,
    cache: Path,
    device: torch.device,
    augmentation: Augmentation | None = None,
    views: int = 1,
    seed: int = 0,
    title: str = "",
) -> list[Array]:
    """Outputs of the stages before each cut, from the cache or computed now.

    Args:
        model: its stages before the last cut are the prefix; they run in evaluation mode, without gradients.
        cuts: indices into ``model.stages``, ascending.
        images: ``uint8`` N×S×S.
        fingerprint: names the images and how they were decoded.
        cache: folder of the store.
        device: where to compute.
        augmentation: how views differ; None: one plain view.
        views: K.
        seed: of the augmentation.
        title: label of the progress bar.

    Returns:
        One memory-mapped ``float16`` array a cut: K×N×(shape of one output).

    Raises:
        UserError: the disk is full.
    """
    views = views if augmentation else 1
    content = [_hash_prefix(model, cuts[-1]), list(cuts), fingerprint, repr(augmentation), views, seed]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    paths = [cache / f"prefix-{key}-{cut}.npy" for cut in cuts]
    if not all(path.exists() for path in paths):
        _fill(model.to(device).eval(), cuts, paths, images, device, augmentation, views, seed, title)
    return [open_array(path) for path in paths]


def _hash_prefix(model: Classifier, cut: int) -> str:
    digest = hashlib.sha256(f"{model.mean.tolist()}{model.std.tolist()}".encode())
    for name, value in model.stages[:cut].state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def _fill(
    model: Classifier,
    cuts: Sequence[int],
    paths: Sequence[Path],
    images: Array,
    device: torch.device,
    augmentation: Augmentation | None,
    views: int,
    seed: int,
    title: str,
) -> None:
    pieces = [model.stages[a:b] for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]

    def outputs(batch: Tensor) -> list[Tensor]:
        x = model.normalise(batch).contiguous(memory_format=torch.channels_last)
        found = []
        for piece in pieces:
            x = piece(x)
            found.append(x)
        return found

    shapes = [tuple(x.shape[1:]) for x in outputs(torch.from_numpy(images[:1].copy()).to(device))]
    arrays = []
    with ExitStack() as stack, tqdm(total=views * len(images), desc=f"cache {title}", leave=False) as bar:
        for path, shape in zip(paths, shapes, strict=True):
            arrays.append(stack.enter_context(create_array(path, (views, len(images), *shape), "float16")))
        for view in range(views):
            random = augmentation.draw(len(images), seed * 1_000_003 + view) if augmentation else None
            for start in range(0, len(images), BATCH):
                part = slice(start, min(start + BATCH, len(images)))
                batch = torch.from_numpy(images[part].copy()).to(device)
                if augmentation and random is not None:
                    batch = augmentation.apply(batch, random[part])
                for array, x in zip(arrays, outputs(batch), strict=True):
                    array[view, part] = x.half().cpu().numpy()
                bar.update(len(batch))
