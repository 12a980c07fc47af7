"""Which epoch's weights become the model."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

STANDARD_ERRORS = 1.96


class Selection:
    """The latest epoch whose validation macro F1, within sites, is within 1.96 standard errors of the best one's.

    After the one-standard-error rule (Breiman et al. 1984), at 95 %: a few hundred images can't tell these epochs
    apart, and the later one's learning rate is annealed further. The more images, the closer to taking the best.
    """

    def __init__(self, images: int, score: str = "macro F1") -> None:
        """``images``: number of validation images. ``score``: what is measured on them, in words."""
        self.images, self.score = images, score
        self.best, self.best_epoch = 0.0, 0
        self.epoch, self.macro_f1 = 0, 0.0

    def takes(self, epoch: int, macro_f1: float) -> bool:
        """Whether this epoch, later than all before, is to be the model; ``self`` then holds it and its score."""
        if macro_f1 > self.best:
            self.best, self.best_epoch = macro_f1, epoch
        # The standard error of a share of so many images, which that of their macro F1 is near.
        error = math.sqrt(self.best * (1 - self.best) / self.images)
        taken = macro_f1 >= self.best - STANDARD_ERRORS * error
        if taken:
            self.epoch, self.macro_f1 = epoch, macro_f1
        return taken

    @property
    def reason(self) -> str:
        """Why the epoch was taken, in words."""
        if self.macro_f1 == self.best:
            return f"best validation {self.score}, {self.macro_f1:.3f} (n = {self.images:,})"
        return (
            f"validation {self.score} {self.macro_f1:.3f}, the latest that n = {self.images:,} can't tell from the "
            f"best, {self.best:.3f} in epoch {self.best_epoch}"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        vars(self).update(state_dict)


def macro_f1_within_sites(confusion: Tensor) -> float:
    """The mean over sites of the macro F1 over the classes that a site has.

    The macro F1 over all images is higher for a network that tells sites apart where class and site go together; this
    one is not. Sites with one class say nothing about telling classes apart: they are left out, unless all are such.

    Args:
        confusion: S×C×C counts, of each site's images of each true class by the class that they are called.
    """
    confusion = confusion.double()
    images, called = confusion.sum(dim=2), confusion.sum(dim=1)
    right = confusion.diagonal(dim1=1, dim2=2)
    f1 = 2 * right / (images + called).clamp_min(1)
    classes = (images > 0).sum(dim=1)
    counted = classes >= min(2, int(classes.max()))
    return float((f1 * (images > 0)).sum(dim=1)[counted].div(classes[counted]).mean())
