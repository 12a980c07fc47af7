"""The frozen-prefix cache: what is frozen is computed once.

The prefix's output for each image and each of its K views is kept on disk as ``float16``, under a key
made of everything that determines it; an epoch then runs the trained tail only. Phase A's tail is the head,
Phase B's the last blocks and the head: one pass through the backbone fills both caches.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from trainer.device import side_by_side, to_device
from trainer.features.augmentation import Augmentation
from trainer.features.decoded_store import Images
from trainer.features.frozen_graph import QUICK, frozen_graph
from trainer.features.memmap import create_array, missing_anywhere, open_array, own_rows, release
from trainer.features.store import Store
from trainer.models.classifier import Classifier, folded
from trainer.running.progress import task
from trainer.types import Array


@dataclass(frozen=True)
class Prefix:
    """The frozen part of a model: its stages before the last cut, in evaluation mode and without gradients.

    It is copied when it first runs, so the model's later training does not reach it.
    """

    model: Classifier
    cuts: tuple[int, ...]
    """Indices into ``model.stages``, ascending."""
    device: torch.device

    @cached_property
    def stages(self) -> nn.Sequential:
        """The frozen stages as they run."""
        return folded(self.model.stages[: self.cuts[-1]])

    @property
    def batch(self) -> int:
        """Images at once: on CPUs 8 are as fast as 32, in a quarter of the memory."""
        return 8 if self.device.type == "cpu" else 32

    def quick(self, image_size: int, views: int) -> Callable[[Tensor, Sequence[int]], list[Tensor]]:
        """What computes :meth:`outputs` at the first cuts, of so many views: on CPUs by ONNX Runtime where it pays."""
        if self.device.type == "cpu" and views * image_size**2 >= QUICK:
            return frozen_graph(self.model, self.stages, self.cuts, image_size)
        return self.outputs

    @torch.inference_mode()
    def outputs(self, images: Tensor, cuts: Sequence[int] | None = None) -> list[Tensor]:
        """Outputs of the stages before each cut (default: all cuts) for grey images N×S×S in [0, 255]."""
        cuts = cuts or self.cuts
        x = self.model.normalise(images.to(self.device)).contiguous(memory_format=torch.channels_last)
        outputs = []
        for first, end in zip([0, *cuts[:-1]], cuts, strict=True):
            x = self.stages[first:end](x)
            outputs.append(x)
        return outputs

    def shapes(self, image_size: int) -> list[tuple[int, ...]]:
        """Shape of one image's output at each cut."""
        return [tuple(x.shape[1:]) for x in self.outputs(torch.zeros(1, image_size, image_size))]

    def digest(self) -> str:
        """SHA-256 of all weights that determine the outputs."""
        state = {"mean": self.model.mean, "std": self.model.std, **self.model.stages[: self.cuts[-1]].state_dict()}
        weights = save({name: value.contiguous() for name, value in state.items()}, {"cuts": f"folded {self.cuts}"})
        return hashlib.sha256(weights).hexdigest()


@dataclass(frozen=True)
class Views:
    """K views of each image: view 0 is the image as it is, the others are augmented."""

    augmentation: Augmentation | None = None
    """None: every view is the image."""
    count: int = 1
    seed: int = 0

    def random(self, images: int, view: int) -> Tensor | None:
        """The random numbers of one view of N images, a function of seed and view alone; None for the images."""
        if self.augmentation is None or view == 0:
            return None
        return self.augmentation.draw(images, self.seed * 1_000_003 + view)

    def make(self, images: Array, random: Tensor | None, device: torch.device) -> Tensor:
        """Grey images N×S×S in [0, 255] as this view shows them, on the device."""
        batch = to_device(torch.from_numpy(np.ascontiguousarray(images)), device)
        if self.augmentation is None or random is None:
            return batch
        return self.augmentation.apply(batch, random)


def cache_bytes(prefix: Prefix, images: int, image_size: int, views: int) -> int:
    """Largest size of a cache on disk: with all views at all cuts."""
    return 2 * views * images * sum(int(np.prod(shape)) for shape in prefix.shapes(image_size))


def cache_paths(store: Store, prefix: Prefix, key: str, views: Views, last: int | None = None) -> list[Path]:
    """The file of each cut's outputs; ``key`` names the images, their order and their preprocessing."""
    content = ["view 0 is the image", prefix.digest(), key]
    kept = [repr(replace(views, count=count)) for count in _counts(prefix, views, last)]
    return [store.path("prefix", *content, of, cut) for of, cut in zip(kept, prefix.cuts, strict=True)]


def _counts(prefix: Prefix, views: Views, last: int | None) -> list[int]:
    """Number of views that are kept at each cut."""
    return [views.count] * (len(prefix.cuts) - 1) + [min(views.count, last or views.count)]


def prefix_outputs(
    prefix: Prefix, images: Images, key: str, views: Views, store: Store, title: str = "", last: int | None = None
) -> list[Array]:
    """Outputs of the stages before each cut, from the cache or computed here.

    Args:
        prefix: what is frozen.
        images: N images, at least one.
        key: names the images, their order and their preprocessing.
        views: K views of each image.
        store: where the arrays are kept.
        title: what the images are, for the progress bar.
        last: how many views are wanted of the last cut; None: all.

    Returns:
        One memory-mapped ``float16`` array per cut: K×N×(shape of one output).

    Raises:
        UserError: the disk is full.
    """
    paths = cache_paths(store, prefix, key, views, last)
    if missing_anywhere(paths):
        sizes, counts = prefix.shapes(images[np.arange(1)].shape[1]), _counts(prefix, views, last)
        shapes = [(count, len(images), *size) for count, size in zip(counts, sizes, strict=True)]
        with ExitStack() as stack:
            arrays = [
                stack.enter_context(create_array(path, shape, "float16"))
                for path, shape in zip(paths, shapes, strict=True)
            ]
            _fill(arrays, prefix, images, views, title)
    return [open_array(path) for path in paths]


def _fill(arrays: list[Array], prefix: Prefix, images: Images, views: Views, title: str) -> None:
    """Compute this process's share of all views that the arrays have room for."""
    rows_here = np.array(own_rows(len(images)), dtype=np.int64)
    batches = [rows_here[start : start + prefix.batch] for start in range(0, len(rows_here), prefix.batch)]
    total = views.count * len(rows_here)
    with task(f"caching {title}", total) as advance:
        outputs = prefix.quick(images[np.arange(1)].shape[1], views.count * len(images))
        for view in range(views.count):
            random = views.random(len(images), view)
            wanted = [array for array in arrays if view < len(array)]

            def fill(
                rows: Array, view: int = view, random: Tensor | None = random, wanted: list[Array] = wanted
            ) -> int:
                batch = views.make(images[rows], None if random is None else random[rows], prefix.device)
                for array, x in zip(wanted, outputs(batch, prefix.cuts[: len(wanted)]), strict=True):
                    array[view, rows] = x.half().cpu().numpy()
                    release(array)
                return len(rows)

            for count in side_by_side(fill, batches, prefix.device):
                advance(count)
