"""Which epoch's weights become the model."""

import math
from collections.abc import Mapping
from typing import Any

STANDARD_ERRORS = 1.96


class Selection:
    """The latest epoch whose validation macro F1 is within 1.96 standard errors of the best one's.

    After the one-standard-error rule (Breiman et al. 1984), at 95 %: a few hundred images can't tell these epochs
    apart, and the later one's learning rate is annealed further. The more images, the closer to taking the best.
    """

    def __init__(self, images: int) -> None:
        """``images``: number of validation images."""
        self.images = images
        self.best = 0.0
        self.epoch, self.macro_f1 = 0, 0.0

    def takes(self, epoch: int, macro_f1: float) -> bool:
        """Whether this epoch, later than all before, is to be the model; ``self`` then holds it and its score."""
        self.best = max(self.best, macro_f1)
        # The standard error of a share of so many images, which that of their macro F1 is near.
        error = math.sqrt(self.best * (1 - self.best) / self.images)
        taken = macro_f1 >= self.best - STANDARD_ERRORS * error
        if taken:
            self.epoch, self.macro_f1 = epoch, macro_f1
        return taken

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        vars(self).update(state_dict)
