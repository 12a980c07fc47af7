"""Batches of the prefix's outputs, in an order that is a function of seed and epoch alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.device import to_device
from trainer.features.decoded_store import Images
from trainer.features.memmap import release
from trainer.features.prefix_cache import Prefix, Views
from trainer.types import Array

Batch = tuple[Tensor, Tensor, Tensor]
"""Input, class indices M, site indices M."""
TrainBatch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Input, class indices M, weights M in the loss, site indices M."""
Rows = npt.NDArray[np.int64]
Fetch = Callable[[Rows, Rows | int], Tensor]
"""Row numbers and views to what the tail is given: ``float32`` M×…, on the device.

View 0 is the image as it is; the others, of any number, are augmented. One number for all rows, or one per row.
"""


def from_cache(features: Array, device: torch.device) -> Fetch:
    """Read K×N×… ``float16`` outputs of the prefix; after the last augmented view comes the first again.

    Where K is 1, every view is the image as it is.
    """
    last = len(features) - 1

    def fetch(rows: Rows, views: Rows | int) -> Tensor:
        stored = np.where(np.equal(views, 0), 0, 1 + np.subtract(views, 1) % max(1, last))
        x = to_device(torch.from_numpy(features[np.minimum(stored, last), rows]), device).float()
        release(features)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    return fetch


def from_images(images: Images, prefix: Prefix, cut: int, views: Views) -> Fetch:
    """Augment anew for each view and run the prefix up to ``cut``, without gradients."""
    draw = lru_cache(maxsize=2)(partial(views.random, len(images)))  # of the images, and of an epoch's view

    def fetch(rows: Rows, wanted: Rows | int) -> Tensor:
        numbers, radiographs = np.broadcast_to(wanted, rows.shape), images[rows]
        batch = torch.empty(radiographs.shape, device=prefix.device)
        for number in np.unique(numbers):
            places, random = np.flatnonzero(numbers == number), draw(int(number))
            random = None if random is None else random[rows[places]]
            batch[torch.from_numpy(places)] = views.make(radiographs[places], random, prefix.device).float()
        # A clone, because autograd does not take tensors made in inference mode.
        return prefix.outputs(batch, [cut])[0].clone()

    return fetch


@dataclass(frozen=True)
class Targets:
    """What the loss is told of N training images."""

    labels: Array
    """N class indices."""
    weights: Array | None = None
    """N ``float32`` weights in the loss; None: all the same."""
    sites: Array | None = None
    """N site indices; None: all of one site."""

    @property
    def site_indices(self) -> Array:
        """N site indices."""
        return np.zeros(len(self.labels), np.int64) if self.sites is None else self.sites


class TrainBatches:
    """An endless stream of training batches; the order of epoch ``e`` (from 1) is drawn from seed and ``e``.

    Nothing of the order is kept in a random state, so a resumed run sees the very batches of the unbroken one.
    """

    def __init__(
        self, fetch: Fetch, targets: Targets, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        """``rank``: of this process among ``world_size``, which share each epoch's images."""
        self.fetch, self.seed, self.rank, self.world_size = fetch, seed, rank, world_size
        self.labels = targets.labels
        self.weights = np.ones(len(self.labels), np.float32) if targets.weights is None else targets.weights
        self.sites = targets.site_indices
        self.batch_size = min(batch_size, len(self.labels) // world_size)
        self.first_epoch = 1

    def __len__(self) -> int:
        """Batches per epoch; the images left over, others each time, sit that epoch out."""
        return len(self.labels) // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[TrainBatch]:
        epoch = self.first_epoch
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labels))
            for start in range(len(self)):
                first = (start * self.world_size + self.rank) * self.batch_size
                rows = np.sort(order[first : first + self.batch_size])
                x = self.fetch(rows, views_shown(rows, epoch))
                y, weights, sites = (
                    torch.from_numpy(values[rows]).to(x.device) for values in (self.labels, self.weights, self.sites)
                )
                yield x, y, weights, sites
            epoch += 1


def views_shown(rows: Rows, epoch: int) -> Rows:
    """The view of each of those images in an epoch (from 1): every other time the image as it is, else the next view.

    About half of every batch is of either kind. Images as they are belong to it, because those are what the network
    is for, and the resampling of an augmentation alone moves the frozen features.
    """
    return np.where((rows + epoch) % 2 == 0, 0, (epoch + 1) // 2)


class PlainBatches:
    """Every image once, in order; each process of several takes its share, unpadded."""

    BATCH = 64

    def __init__(self, fetch: Fetch, targets: Targets, rank: int = 0, world_size: int = 1) -> None:
        self.rows = np.array_split(np.arange(len(targets.labels)), world_size)[rank]
        self.fetch, self.labels, self.sites = fetch, targets.labels, targets.site_indices

    def __len__(self) -> int:
        return -(-len(self.rows) // self.BATCH)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.rows), self.BATCH):
            rows = self.rows[start : start + self.BATCH]
            x = self.fetch(rows, 0)
            labels, sites = (torch.from_numpy(values[rows]).to(x.device) for values in (self.labels, self.sites))
            yield x, labels, sites


def even_weights(groups: Sequence[str] | Array) -> Array:
    """``float32`` weights, 1 in the mean, whose sum is the same for every group."""
    _, inverse, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    return (len(groups) / (len(counts) * counts[inverse])).astype(np.float32)
