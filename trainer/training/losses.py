"""The loss that training lowers: weighted cross-entropy, and how far apart the sites of one class are."""

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
    terms: dict[str, Tensor]
    """What ``total`` holds beside the cross-entropy, each unweighted, by the names of :attr:`Objective.terms`."""


class Objective(nn.Module):
    """The loss of a batch: cross-entropy, and how far apart the sites of one class are.

    A module around the network, so that processes that train together share its gradients.
    """

    adjustment: Tensor | None

    def __init__(
        self,
        tail: Tail,
        label_smoothing: float = 0.0,
        site_alignment: float = 0.0,
        adjustment: Tensor | None = None,
    ) -> None:
        """``adjustment``: S×C, what is added to the logits of each site's images before the cross-entropy."""
        super().__init__()
        self.register_buffer("adjustment", adjustment, persistent=False)
        self.tail = tail
        self.label_smoothing = label_smoothing
        self.site_alignment = site_alignment

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms beside the cross-entropy."""
        return ("site_distance",) if self.site_alignment else ()

    def forward(self, x: Tensor, y: Tensor, weights: Tensor, sites: Tensor) -> Losses:
        """Input M×…, classes M, weights M and site indices M to what training lowers and shows."""
        embedding = self.tail.stages(x)
        bare = self.tail.head(self.tail.dropout(embedding))
        logits = bare if self.adjustment is None else bare + self.adjustment[sites]
        losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        loss, terms = (losses * weights).sum() / weights.sum(), {}
        if self.site_alignment:
            distance = site_distance(embedding, y, sites)
            loss, terms["site_distance"] = loss + self.site_alignment * distance, distance.detach()
        return Losses(loss, bare.detach(), terms)


def site_adjustment(labels: Array, weights: Array | None, sites: Sequence[str], classes: int) -> Tensor:
    """Logarithm of each class's share, by weight, of each site's training images: ``float32`` S×C, sites in order.

    Added to the logits in training, it takes away what the network would gain by knowing which classes a site has
    (logit adjustment, Menon et al. 2021, by site). A class that a site lacks has :data:`LEAST_SHARE`; the row of
    images whose site is unknown (empty) is 0.

    Args:
        labels: N class indices.
        weights: N weights in the loss; None: all the same.
        sites: N names.
        classes: C.
    """
    names, rows = np.unique(sites, return_inverse=True)
    shares = np.zeros((len(names), classes))
    np.add.at(shares, (rows, labels), 1.0 if weights is None else weights)
    shares /= shares.sum(axis=1, keepdims=True)
    adjustment = np.log(np.maximum(shares, LEAST_SHARE))
    adjustment[names == ""] = 0
    return torch.tensor(adjustment, dtype=torch.float32)


def site_distance(embedding: Tensor, y: Tensor, sites: Tensor) -> Tensor:
    """Squared distance of the mean embeddings of two sites' images of one class, the mean over all such pairs.

    The maximum mean discrepancy with a linear kernel (Gretton et al. 2012) between sites, within each class, since
    sites may differ in which classes they have (Li et al. 2018, "conditional invariant"). Without bias: the means of
    a few images lie apart by chance, and a network that is to lower that makes all images alike.

    Args:
        embedding: M×D.
        y: M class indices.
        sites: M site indices.

    Returns:
        A scalar, in units of a feature's variance, in the mean 0 where sites do not differ (so it can be negative);
        0 where no class has two sites, or no site two images of a class.
    """
    embedding = embedding.float()
    spread = embedding.detach().var(dim=0, correction=min(1, len(embedding) - 1)) + 1e-3
    centred = (embedding - embedding.detach().mean(dim=0)) / spread.sqrt()
    classes, hospitals = int(y.max()) + 1, int(sites.max()) + 1
    group = y * hospitals + sites
    members = F.one_hot(group, classes * hospitals).to(centred.dtype)
    counts = members.sum(dim=0)
    means = members.T @ centred / counts.clamp_min(1)[:, None]
    # Pooled over the groups, since one image alone does not tell how its group varies.
    freedom = len(y) - (counts > 0).sum()
    within = (centred - means[group]).square().mean(dim=1).sum() / freedom.clamp_min(1)
    chance = (within * (counts > 0) / counts.clamp_min(1)).view(classes, hospitals).sum(dim=1)
    means, present = means.view(classes, hospitals, -1), (counts > 0).view(classes, hospitals).sum(dim=1)
    # Of n points: n times the sum of their squares less the square of their sum is the sum over all pairs.
    apart = present * means.square().mean(dim=2).sum(dim=1) - means.sum(dim=1).square().mean(dim=1)
    apart = apart - (present - 1).clamp_min(0) * chance
    pairs = present * (present - 1) / 2
    return (freedom > 0) * apart.sum() / pairs.sum().clamp_min(1)
