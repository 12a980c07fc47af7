"""Augmentation fit for radiographs, on a whole batch at once: geometry, exposure, sharpness and noise."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

GRAIN = 512


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from its image; the settings of the same names say what each is."""

    rotation: float
    shift: float
    scale: float
    exposure: float
    sharpness: float
    noise: float
    flip: bool

    def draw(self, images: int, seed: int) -> Tensor:
        """Random numbers for one view of each image: ``float32`` N×13 in [-1, 1), a function of ``seed`` alone."""
        return torch.rand(images, 13, generator=torch.Generator().manual_seed(seed)) * 2 - 1

    @cached_property
    def _grain(self) -> Tensor:
        """Noise of unit deviation, fine and coarser: 2×G×G, of which each view gets a part that is drawn."""
        fine = torch.randn(1, 1, GRAIN, GRAIN, generator=torch.Generator().manual_seed(0))
        coarse = F.interpolate(fine[..., : GRAIN // 2, : GRAIN // 2], size=(GRAIN, GRAIN), mode="bilinear")
        return torch.cat([fine, coarse / coarse.std()])[:, 0]

    def apply(self, images: Tensor, random: Tensor) -> Tensor:
        """Views of grey images.

        Args:
            images: N×H×W in [0, 255], any dtype.
            random: N×13 from :meth:`draw`.

        Returns:
            ``float32`` N×H×W in [0, 255].
        """
        places = random[:, 11:]  # stay on the CPU, which cuts the noise out
        turn, down, right, zoom, gamma, contrast, mirror, blur, aspect, *grain = (
            random[:, :11].to(images.device).unbind(1)
        )
        angle = turn * math.radians(self.rotation)
        stretch = torch.exp(aspect * self.scale / 2)
        wide, high = (1 + zoom * self.scale) * stretch, (1 + zoom * self.scale) / stretch
        side = torch.where(mirror > 0, -1.0, 1.0) if self.flip else torch.ones_like(mirror)
        cos, sin = torch.cos(angle), torch.sin(angle)
        shifts = right * 2 * self.shift, down * 2 * self.shift
        rows = [cos * side / wide, -sin / wide, shifts[0], sin * side / high, cos / high, shifts[1]]
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
        if self.noise:
            batch = batch + self._noise(grain, places, *batch.shape[1:])
        return batch.clamp(0, 1) * 255

    def _noise(self, grain: list[Tensor], places: Tensor, height: int, width: int) -> Tensor:
        """N×H×W. Half of the views have none: most images are clean."""
        strength, coarse = ((value + 1) / 2 for value in grain)
        down, right = ((places + 1) / 2).unbind(1)
        field = self._grain.to(strength.device)
        # Never larger than the field: intakes of more pixels get it repeated.
        field = field.repeat(1, 1 + height // GRAIN, 1 + width // GRAIN)
        patches = []
        for share, y, x in zip(coarse, down, right, strict=True):
            top, left = int(y * (field.shape[1] - height)), int(x * (field.shape[2] - width))
            fine, rough = field[:, top : top + height, left : left + width]
            patches.append(torch.sqrt(1 - share) * fine + torch.sqrt(share) * rough)
        return torch.stack(patches) * (self.noise * (2 * strength - 1).clamp_min(0)).view(-1, 1, 1)
