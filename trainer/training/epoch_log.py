"""Epochs as they end: told in a line, written into ``history.csv``, shown in TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.files import write_text
from trainer.running.history import Epoch, read_history
from trainer.tables import to_csv

SHOWN = {
    "cross_entropy": "cross-entropy",
    "macro_f1": "macro F1",
    "macro_f1_within_sites": "macro F1 within sites",
}
"""What is told of an epoch; the fields of :class:`~trainer.running.history.Epoch` of these names."""


class History:
    """A run's ``history.csv`` while it trains."""

    def __init__(self, path: Path) -> None:
        """``path``: what it holds already is kept, and replaced as its epochs are trained again."""
        self.path, self.epochs = path, read_history(path)

    def forget(self, phase: str, after: int) -> None:
        """Leave out a phase's epochs after that one, which are to come again."""
        self.epochs = [row for row in self.epochs if row.phase != phase or row.epoch <= after]

    def add(self, *rows: Epoch) -> None:
        """Write an epoch's rows.

        Raises:
            OSError: the file can't be written.
        """
        self.epochs += rows
        write_text(self.path, to_csv(self.epochs, Epoch))


def measured(phase: str, epoch: int, split: str, metrics: Mapping[str, Any], rate: float | None = None) -> Epoch:
    """An epoch's row of the metrics of an engine."""
    values = {name: round(float(metrics[name]), 6) for name in SHOWN if name in metrics}
    return Epoch(phase=phase, epoch=epoch, split=split, learning_rate=rate, **values)


def epoch_line(title: str, rows: Sequence[Epoch]) -> str:
    """What is told of an epoch: of training, where it was trained, and of validation."""
    parts = []
    for row in rows:
        values = ((words, getattr(row, name)) for name, words in SHOWN.items())
        numbers = ", ".join(f"{words} {value:.3f}" for words, value in values if value is not None)
        parts.append(f"{'training' if row.split == 'train' else 'validation'}: {numbers}")
    return f"{title}  {'   '.join(parts)}"
