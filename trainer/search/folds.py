"""Which images a trial trains on, which its epoch is chosen by, and which it is judged by. None of the test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer.data.holdout import leave_out, shared_classes
from trainer.data.manifest import Record, Split
from trainer.data.split import assign_groups

Objective = Literal["validation", "left-out-sites"]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One training of a trial: row numbers of the pool of training and validation images, ascending."""

    name: str
    classes: list[str]
    train: Rows
    validation: Rows
    """The epoch is chosen by these; the trial is judged by them, too, unless it is by a site left out."""
    left_out: Rows | None = None
    """Images of the site that the others do without."""

    @property
    def judged(self) -> Rows:
        """What the score is of."""
        return self.validation if self.left_out is None else self.left_out


def validation_fold(pool: Sequence[Record], splits: Sequence[Split]) -> Fold:
    """Train on the one split, judge by the other.

    Args:
        pool: N training and validation images.
        splits: N, the side of each.
    """
    sides = np.array(splits)
    classes = sorted({record.label for record in pool})
    return Fold("", classes, np.flatnonzero(sides == "train"), np.flatnonzero(sides == "val"))


def left_out_fold(pool: Sequence[Record], splits: Sequence[Split], records: Sequence[Record], site: str) -> Fold:
    """Train without a site, judge by all of its images of the classes that the others have too.

    Args:
        pool: N training and validation images.
        splits: N, the side of each.
        records: all images, by which it was decided that the site can be left out.
        site: its name.
    """
    kept = {record.path for record in leave_out(records, site)}
    others = np.array([record.path in kept for record in pool])
    own = [record for record in pool if record.site == site]
    classes = sorted({record.label for record in pool if record.path in kept})
    shared = shared_classes([record for record in pool if record.path in kept], own)
    judged = [record.site == site and record.label in shared for record in pool]
    sides = np.array(splits)
    return Fold(
        site,
        classes,
        np.flatnonzero(others & (sides == "train")),
        np.flatnonzero(others & (sides == "val")),
        np.flatnonzero(judged),
    )


def own_splits(pool: Sequence[Record]) -> list[Split]:
    """The side that the data folder has each image on."""
    return [record.split for record in pool]


def fresh_splits(pool: Sequence[Record], seed: int) -> list[Split]:
    """Other sides for the same images, as many on each, as ``split`` would with another seed: by patient."""
    share = sum(record.split == "val" for record in pool) / len(pool)
    shares: dict[Split, float] = {"train": 1 - share, "val": share}
    assigned = assign_groups(pool, [record.group for record in pool], shares, seed)
    return [assigned[record.path] for record in pool]
