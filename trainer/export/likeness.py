"""Likeness: how far an image's layout is one that the training images have, which tells a frontal chest from others."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from trainer.features.batches import even_weights
from trainer.types import Array

GRID = 7
"""Cells per side that feature maps are averaged to."""
WINDOW = 5
"""Cells per side of the window, which may lie anywhere in the grid: a chest is not always in the middle."""
DIRECTIONS = 30
"""Most directions in which layouts of training images differ from their mean."""
IMAGES_PER_DIRECTION = 10
"""Fewer images have fewer directions, so that these are not single images."""
LEAST = 1e-4


def cells(x: Tensor) -> Tensor:
    """Feature maps N×C×h×w to their means in each of 7×7 cells, N×C×7×7; neighbouring cells may share a row."""
    rows, columns = _averages(x.shape[-2], x), _averages(x.shape[-1], x)
    return rows @ x @ columns.T


def _averages(side: int, like: Tensor) -> Tensor:
    """Matrix 7×side that averages; PyTorch's adaptive pooling, which ONNX has only for multiples of 7."""
    matrix = torch.zeros(GRID, side)
    for cell in range(GRID):
        first, end = cell * side // GRID, -(-(cell + 1) * side // GRID)
        matrix[cell, first:end] = 1 / (end - first)
    return matrix.to(like)


class Novelty(nn.Module):
    """Cells N×C×7×7 to novelty N: 1 for a typical image of the training images' kind, more for other layouts.

    A layout is the standardised cells of a window, less their mean in each channel. Novelty is the share of its energy
    outside of the subspace that the training images' layouts span (their mean and principal directions), where the
    window fits best, divided by what a typical image has: the matched subspace detector of Scharf & Friedlander (1994).
    """

    mean: Tensor
    spread: Tensor
    directions: Tensor
    typical: Tensor

    def __init__(self, mean: Tensor, spread: Tensor, directions: Tensor, typical: Tensor) -> None:
        """``mean`` and ``spread``: C×1×1. ``directions``: K×C×5×5, orthonormal. ``typical``: a scalar."""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.register_buffer("directions", directions)
        self.register_buffer("typical", typical)

    @classmethod
    def fit(cls, training: Tensor, groups: Array) -> "Novelty":
        """From ``training`` cells N×C×7×7, N from 1 on, and the N names of the groups that are to weigh the same.

        Novelty is the share itself until :meth:`measure_by` has been told what is typical.
        """
        spread, mean = torch.std_mean(training, dim=(0, 2, 3), correction=0)
        mean, spread = mean[:, None, None], spread[:, None, None] + LEAST
        edge = (GRID - WINDOW) // 2
        middle = ((training - mean) / spread)[:, :, edge : edge + WINDOW, edge : edge + WINDOW]
        layouts = (middle - middle.mean(dim=(2, 3), keepdim=True)).flatten(1)
        layouts = layouts / layouts.norm(dim=1, keepdim=True).clamp_min(LEAST)
        directions = _subspace(layouts, torch.from_numpy(even_weights(groups))).reshape(-1, *middle.shape[1:])
        return cls(mean, spread, directions, torch.ones(()))

    def measure_by(self, unseen: Tensor) -> None:
        """Make the median of images that it was not fitted to, cells N×C×7×7, the unit: of fitted ones it is less."""
        self.typical = torch.ones(())
        self.typical = self(unseen).median().clamp_min(LEAST)

    def forward(self, x: Tensor) -> Tensor:
        standard = (x - self.mean) / self.spread
        within = conv2d(standard, self.directions).square().sum(dim=1)
        variance = avg_pool2d(standard.square(), WINDOW, 1) - avg_pool2d(standard, WINDOW, 1).square()
        energy = variance.sum(dim=1).clamp_min(LEAST) * WINDOW**2
        return (1 - (within / energy).amax(dim=(1, 2))) / self.typical


def _subspace(layouts: Tensor, weights: Tensor) -> Tensor:
    """Orthonormal K×D: the mean of N×D layouts with ``weights`` N, and the principal directions around it."""
    mean = (layouts * weights[:, None]).mean(dim=0)
    _, _, principal = torch.linalg.svd((layouts - mean) * weights.sqrt()[:, None], full_matrices=False)
    few = principal[: min(DIRECTIONS, len(layouts) // IMAGES_PER_DIRECTION)]
    directions: Tensor = torch.linalg.qr(torch.cat([mean[None], few]).T).Q.T
    return directions
