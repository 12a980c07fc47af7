"""The loss that training lowers: weighted cross-entropy, and how far apart the sites of one class are."""

from torch import Tensor, nn
from torch.nn import functional as F

from trainer.models.classifier import Tail


class Objective(nn.Module):
    """The loss of a batch: cross-entropy, and how far apart the sites of one class are.

    A module around the network, so that processes that train together share its gradients.
    """

    def __init__(self, tail: Tail, label_smoothing: float = 0.0, site_alignment: float = 0.0) -> None:
        super().__init__()
        self.tail = tail
        self.label_smoothing = label_smoothing
        self.site_alignment = site_alignment

    def forward(self, x: Tensor, y: Tensor, weights: Tensor, sites: Tensor) -> Tensor:
        """Input M×…, classes M, weights M and site indices M to a scalar."""
        embedding = self.tail.stages(x)
        logits = self.tail.head(self.tail.dropout(embedding))
        losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        loss = (losses * weights).sum() / weights.sum()
        if self.site_alignment:
            loss = loss + self.site_alignment * site_distance(embedding, y, sites)
        return loss


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
