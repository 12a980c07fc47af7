"""The loss that training lowers: weighted cross-entropy, with each site's class shares taken out if asked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.models.classifier import Tail
from trainer.types import Array

LEAST_SHARE = 1e-6
"""Of a class in a site that has no image of it."""


class Losses(NamedTuple):
    """What an :class:`Objective` makes of a batch of M images."""

    total: Tensor
    """What training lowers: a scalar."""
    logits: Tensor
    """Bare ones, as the network is validated: M×C, without gradient."""


class Objective(nn.Module):
    """The loss of a batch: the weighted mean of the cross-entropy of logits to which a site's adjustment is added.

    A module around the network, so that processes that train together share its gradients.
    """

    adjustment: Tensor | None

    def __init__(self, tail: Tail, label_smoothing: float = 0.0, adjustment: Tensor | None = None) -> None:
        """``adjustment``: S×C, what is added to the logits of each site's images before the cross-entropy."""
        super().__init__()
        self.register_buffer("adjustment", adjustment, persistent=False)
        self.tail = tail
        self.label_smoothing = label_smoothing

    def forward(self, x: Tensor, y: Tensor, weights: Tensor, sites: Tensor) -> Losses:
        """Input M×…, classes M, weights M and site indices M to what training lowers and shows."""
        bare = self.tail(x)
        logits = bare if self.adjustment is None else bare + self.adjustment[sites]
        losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        return Losses((losses * weights).sum() / weights.sum(), bare.detach())


def site_adjustment(labels: Array, weights: Array | None, sites: Sequence[str], classes: int) -> Tensor:
    """Logarithm of each class's share, by weight, of each site's training images: ``float32`` S×C, sites in order.

    Added to the logits in training, it takes away what the network would gain by knowing which classes a site has
    (logit adjustment, Menon et al. 2021, by site). A share is given as a multiple of the even one, which changes no
    loss, and one that is missing as :data:`LEAST_SHARE`. The adjustment is 0 for images whose site is unknown (empty),
    and for classes that nothing within a site tells from the site's own, not even by way of third classes: without
    the sites' differences they would not be told apart at all.

    Args:
        labels: N class indices.
        weights: N weights in the loss; None: all the same.
        sites: N names.
        classes: C.
    """
    names, rows = np.unique(sites, return_inverse=True)
    shares = np.zeros((len(names), classes))
    np.add.at(shares, (rows, labels), 1.0 if weights is None else weights)
    seen = (shares > 0) & (names != "")[:, None]
    comparable = seen @ np.linalg.matrix_power(seen.T @ seen, classes)
    shares /= shares.sum(axis=1, keepdims=True)
    of_even = np.maximum(shares, LEAST_SHARE) * comparable.sum(axis=1, keepdims=True)
    return torch.tensor(np.log(of_even, where=comparable, out=np.zeros_like(shares)), dtype=torch.float32)
