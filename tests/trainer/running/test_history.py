"""The epochs of a run as they are written and read."""

from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.running.history import Epoch, read_history
from trainer.tables import to_csv


def test_epochs_are_read_as_they_were_written(tmp_path: Path) -> None:
    epochs = [
        Epoch(phase="a", epoch=0, split="val", cross_entropy=1.1, macro_f1=0.3),
        Epoch(phase="a", epoch=1, split="train", cross_entropy=0.9, learning_rate=1e-3),
        Epoch(phase="b", epoch=1, split="val", cross_entropy=0.5, macro_f1=0.8),
    ]
    path = tmp_path / "history.csv"
    path.write_text(to_csv(epochs, Epoch))
    assert read_history(path) == epochs


def test_columns_of_another_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("phase,epoch,split,cross_entropy,macro_f1,accuracy\na,1,val,0.5,,0.9\n")
    assert read_history(path) == [Epoch(phase="a", epoch=1, split="val", cross_entropy=0.5)]


def test_a_run_without_the_file_has_no_epochs(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.csv") == []


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("phase,epoch,split,cross_entropy\na,1,val,0.5\na,two,val,0.5\n")
    with pytest.raises(UserError, match=r"history\.csv line 3: epoch"):
        read_history(path)
