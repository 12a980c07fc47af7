"""Augmentation fit for radiographs, on a whole batch at once: rotations, shifts, scale, exposure and sharpness."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from its film; see the settings of the same names."""

    rotation: float
    shift: float
    scale: float
    exposure: float
    sharpness: float
    flip: bool

    def draw(self, images: int, seed: int) -> Tensor:
        """Random numbers for one view of each image: ``float32`` N×8 in [-1, 1), a function of ``seed`` alone."""
        return torch.rand(images, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    def apply(self, images: Tensor, random: Tensor) -> Tensor:
        """Views of grey images.

        Args:
            images: N×H×W in [0, 255], any dtype.
            random: N×8 from :meth:`draw`.

        Returns:
            ``float32`` N×H×W in [0, 255].
        """
        turn, down, right, zoom, gamma, contrast, mirror, blur = random.to(images.device).unbind(1)
        angle = turn * math.radians(self.rotation)
        factor = 1 + zoom * self.scale
        side = torch.where(mirror > 0, -1.0, 1.0) if self.flip else torch.ones_like(mirror)
        cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
        rows = [cos * side, -sin, right * 2 * self.shift, sin * side, cos, down * 2 * self.shift]
        theta = torch.stack(rows, dim=1).view(-1, 2, 3)
        batch = images.float().unsqueeze(1) / 255
        grid = F.affine_grid(theta, list(batch.shape), align_corners=False)
        batch = F.grid_sample(batch, grid, align_corners=False)
        if self.sharpness:
            # From half sharpened to wholly blurred: a detector may be coarser than another, seldom much finer.
            share = self.sharpness * (0.75 * blur + 0.25).view(-1, 1, 1, 1)
            batch = batch + share * (F.avg_pool2d(batch, 5, 1, 2, count_include_pad=False) - batch)
        batch = batch.squeeze(1)
        batch = batch.clamp_min(1e-6) ** torch.exp(gamma * self.exposure).view(-1, 1, 1)
        mean = batch.mean(dim=(1, 2), keepdim=True)
        batch = mean + (batch - mean) * torch.exp(contrast * self.exposure).view(-1, 1, 1)
        return batch.clamp(0, 1) * 255
