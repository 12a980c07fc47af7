"""Likeness: how much an image's layout is that of the mean training image, which tells a frontal chest from others."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from trainer.types import Array

GRID = 7
"""Cells per side that feature maps are averaged to."""
WINDOW = 5
"""Cells per side of the template, which may lie anywhere in the grid: a chest is not always in the middle."""
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
    """Cells N×C×7×7 to novelty N: 1 for a typical training image, more for what is laid out otherwise.

    One less the normalised cross-correlation (Lewis 1995) of the template and the window that is most like it, divided
    by what a typical training image has. The template is the mean of the training images' standardised cells.
    """

    mean: Tensor
    spread: Tensor
    template: Tensor
    typical: Tensor

    def __init__(self, mean: Tensor, spread: Tensor, template: Tensor, typical: Tensor) -> None:
        """``mean`` and ``spread``: C×1×1. ``template``: C×5×5. ``typical``: a scalar."""
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.register_buffer("template", template)
        self.register_buffer("typical", typical)

    @classmethod
    def fit(cls, training: Tensor, groups: Array) -> "Novelty":
        """From ``training`` cells N×C×7×7, N from 1 on, and the N names of the groups that are to weigh the same."""
        spread, mean = torch.std_mean(training, dim=(0, 2, 3), correction=0)
        mean, spread = mean[:, None, None], spread[:, None, None] + LEAST
        standard = (training - mean) / spread
        means = [standard[torch.from_numpy(groups == group)].mean(dim=0) for group in sorted(set(groups.tolist()))]
        edge = (GRID - WINDOW) // 2
        template = torch.stack(means).mean(dim=0)[:, edge : edge + WINDOW, edge : edge + WINDOW]
        template = template - template.mean(dim=(1, 2), keepdim=True)
        template = template / template.norm().clamp_min(LEAST)
        novelty = cls(mean, spread, template, torch.ones(()))
        novelty.typical = novelty(training).median().clamp_min(LEAST)
        return novelty

    def forward(self, x: Tensor) -> Tensor:
        standard = (x - self.mean) / self.spread
        together = conv2d(standard, self.template[None])[:, 0]
        variance = avg_pool2d(standard.square(), WINDOW, 1) - avg_pool2d(standard, WINDOW, 1).square()
        length = torch.sqrt(variance.sum(dim=1).clamp_min(LEAST) * WINDOW**2)
        return (1 - (together / length).amax(dim=(1, 2))) / self.typical
