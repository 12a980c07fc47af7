"""Batches from a memory-mapped cache, in an order that is a function of seed and epoch alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.arrays import Array

Batch = tuple[Tensor, Tensor]


def _tensor(array: Array, device: torch.device) -> Tensor:
    x = torch.from_numpy(array).to(device).float()
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


class TrainBatches:
    """An endless stream of training batches; epoch ``e`` (from 1) is a permutation drawn from seed and ``e``.

    Nothing of the order is kept in a random state, so a resumed run sees the very batches of the unbroken one.
    """

    def __init__(
        self,
        features: Array,
        labels: Array,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """``features``: K×N×… ``float16``, K views; ``labels``: N class indices."""
        self.features, self.labels, self.seed, self.device = features, labels, seed, device
        self.rank, self.world_size = rank, world_size
        self.batch_size = min(batch_size, len(labels) // world_size)
        self.first_epoch = 1

    def __len__(self) -> int:
        """Batches an epoch; what is left over (another part each time) sits that epoch out."""
        return len(self.labels) // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.first_epoch
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labels))
            views = self.features[(epoch - 1) % len(self.features)]
            for start in range(len(self)):
                first = (start * self.world_size + self.rank) * self.batch_size
                rows = np.sort(order[first : first + self.batch_size])
                yield _tensor(views[rows], self.device), torch.from_numpy(self.labels[rows]).to(self.device)
            epoch += 1


class PlainBatches:
    """Every image of one plain view once, in order; each process of several takes its share, unpadded."""

    def __init__(
        self, features: Array, labels: Array, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        """``features``: 1×N×… ``float16``; ``labels``: N class indices."""
        self.rows = np.array_split(np.arange(len(labels)), world_size)[rank]
        self.features, self.labels, self.device = features, labels, device

    def __len__(self) -> int:
        return -(-len(self.rows) // 64)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.rows), 64):
            rows = self.rows[start : start + 64]
            x = _tensor(self.features[0, rows], self.device)
            yield x, torch.from_numpy(self.labels[rows]).to(self.device)
