"""``history.csv`` of a run: losses and macro F1 of each epoch, which training writes and the report draws."""

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from trainer.errors import UserError, first_error
from trainer.tables import read_table


class Epoch(BaseModel):
    """One epoch of a phase, on the images of one split. None where a quantity was not measured."""

    phase: str
    """``a`` or ``b``."""
    epoch: int = Field(ge=0)
    """0: the weights at the phase's start."""
    split: str
    """``train`` or ``val``."""
    cross_entropy: float | None = None
    """Mean over the images, of the bare logits: without class weights, smoothing or a site's prior."""
    macro_f1: float | None = None
    learning_rate: float | None = None
    """Of the head, at the epoch's end."""
    macro_f1_within_sites: float | None = None
    """See :func:`trainer.training.selection.macro_f1_within_sites`; of validation images of several sites."""


def read_history(path: Path) -> list[Epoch]:
    """The epochs of a ``history.csv``; none where there is no such file, as of runs of earlier versions.

    Columns that are not known are left out.

    Raises:
        UserError: it can't be read, or a cell is none of its column's kind.
    """
    if not path.is_file():
        return []
    epochs = []
    for line, row in read_table(path, ("phase", "epoch", "split")):
        try:
            epochs.append(Epoch.model_validate({name: cell for name, cell in row.items() if cell}))
        except ValidationError as error:
            raise UserError(f"{path} line {line}: {': '.join(first_error(error))}; train the run again") from error
    return epochs
