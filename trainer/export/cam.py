"""Class activation maps as fine as the frozen stages' output, still from one forward pass.

A class activation map (Zhou et al. 2016) is as coarse as the last stage: 7×7 cells of an image of 224 pixels, each
larger than a small lesion. Gradient times activation (Shrikumar et al. 2016) where the frozen stages end is four times
as fine and needs a backward pass, which a sealed graph does not have; a linear read-out of the same activations, fitted
to it on training images, needs one 1×1 convolution.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.features.batches import Fetch
from trainer.models.classifier import Classifier
from trainer.types import Array

MOST_IMAGES = 128
"""Training images that the read-out is fitted to; each has a few hundred cells."""
BATCH = 32
SHRINKAGE = 0.1
"""Of the ridge regression, for each cell and activation of unit variance."""


class FineMap(nn.Module):
    """Class activation maps N×C×h×w and activations N×D×H×W of the frozen stages to maps N×C×H×W.

    What it adds to an image's map is zero in the mean, so that the mean and the head's bias remain the logit.
    """

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        """``weight``: C×D×1×1."""
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, cam: Tensor, frozen: Tensor) -> Tensor:
        fine = F.interpolate(cam, size=frozen.shape[2:], mode="bilinear", align_corners=False)
        fine = fine + F.conv2d(frozen, self.weight)
        return fine + (cam.mean(dim=(2, 3)) - fine.mean(dim=(2, 3)))[..., None, None]


def fit_fine_map(model: Classifier, cut: int, fetch: Fetch, images: int, seed: int) -> FineMap:
    """Fit the read-out to training images that ``seed`` draws; no global random state is read or changed.

    Args:
        model: its stages before ``cut`` are frozen.
        cut: index of the first stage that is trained.
        fetch: outputs of the stages before ``cut`` for ``images`` training images.
        images: at least one.
        seed: draws them.
    """
    from sklearn.linear_model import Ridge  # takes a second; training should begin before that

    rows = np.sort(np.random.default_rng([seed, 89]).permutation(images)[:MOST_IMAGES])
    tail = nn.Sequential(*model.stages[cut:], model.head).eval()
    cells, evidence = [], []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        x = fetch(batch, batch % 2)  # half of them as they are, as in training
        cells.append(_by_cell(x))
        evidence.append(_by_cell(gradient_times_activation(tail, x)))
    inputs, targets = np.concatenate(cells), np.concatenate(evidence)
    spread = inputs.std(axis=0)
    spread[spread < 1e-6] = 1.0
    ridge = Ridge(alpha=SHRINKAGE * len(inputs)).fit(inputs / spread, targets)
    weight = torch.tensor(ridge.coef_ / spread, dtype=torch.float32)
    return FineMap(weight.view(*weight.shape, 1, 1))


def gradient_times_activation(tail: nn.Module, x: Tensor) -> Tensor:
    """First-order share of each place of activations N×D×H×W in each of C logits: N×C×H×W, of which the mean over
    places is the logit's."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_(True)
        totals = tail(x).sum(dim=0)
        gradients = [torch.autograd.grad(total, x, retain_graph=True)[0] for total in totals]
    places = x.shape[2] * x.shape[3]
    return torch.stack([(gradient * x.detach()).sum(dim=1) * places for gradient in gradients], dim=1)


def _by_cell(maps: Tensor) -> Array:
    """N×K×H×W to ``float64`` NHW×K."""
    flat: Array = maps.detach().permute(0, 2, 3, 1).flatten(0, 2).double().cpu().numpy()
    return flat
