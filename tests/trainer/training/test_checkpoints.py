"""Checkpoints: written whole or not at all; a damaged one is told and the one before it is used."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bento.artifact import WEIGHTS_FILE, sha256_file
from tests.support.runs import FLAGS, Trained, trainer
from tests.support.server import ROOT
from trainer.errors import UserError
from trainer.training.checkpoints import CheckpointSaver, read_checkpoint, resume


def save(folder: Path, epoch: int, value: float) -> Path:
    """A phase's checkpoint of a module with one weight."""
    CheckpointSaver(folder)({"tail": {"weight": torch.full((1, 1), value)}}, f"a_last_checkpoint_{epoch}.pt")
    return folder / f"a_last_checkpoint_{epoch}.pt"


def test_a_full_disk_names_the_file_and_leaves_what_was_there(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(1)
    save(folder, 1, 7.0)
    with pytest.raises(OSError, match="No space left on device") as caught:
        CheckpointSaver(folder)({"tail": torch.zeros(500_000)}, "a_last_checkpoint_2.pt")
    assert caught.value.filename == str(folder / "a_last_checkpoint_2.pt")
    assert [path.name for path in folder.iterdir()] == ["a_last_checkpoint_1.pt"]
    assert read_checkpoint(folder / "a_last_checkpoint_1.pt")["tail"]["weight"].item() == 7


def test_a_limit_on_the_size_of_files_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """As a full disk, where nobody may mount one."""
    code = f"""
import resource, torch
from pathlib import Path
from trainer.training.checkpoints import CheckpointSaver
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    CheckpointSaver(Path({str(tmp_path)!r}))({{"tail": torch.zeros(500_000)}}, "a.pt")
except OSError as error:
    print(error.errno, error.filename)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), str(tmp_path / "a.pt")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 100, -1])
def test_of_a_checkpoint_that_is_cut_off_the_one_before_is_used_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    for epoch in (9, 10):
        path = save(tmp_path, epoch, float(epoch))
    path.write_bytes(path.read_bytes()[:length])
    tail = nn.Linear(1, 1, bias=False)
    assert resume(tmp_path, "a", {"tail": tail})
    assert tail.weight.item() == 9
    (line,) = capsys.readouterr().out.splitlines()
    assert str(path) in line
    assert line.endswith("; the one before it is used")


def test_where_no_checkpoint_can_be_read_the_message_names_one_and_the_way_out(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save(tmp_path, epoch, 0.0).write_bytes(b"")
    with pytest.raises(UserError, match=r"a_last_checkpoint_1\.pt: this checkpoint can't be read.*start a new run"):
        resume(tmp_path, "a", {"tail": nn.Linear(1, 1)})


def test_a_phase_without_checkpoints_starts_anew(tmp_path: Path) -> None:
    save(tmp_path, 1, 0.0)
    assert not resume(tmp_path, "b", {"tail": nn.Linear(1, 1)})


def test_a_run_whose_last_checkpoint_is_cut_off_ends_with_the_same_weights(trained: Trained) -> None:
    folder = trained.run.folder.with_name("cut")
    shutil.copytree(trained.run.folder, folder)
    last = max((folder / "checkpoints").glob("b_last_checkpoint_*.pt"), key=lambda path: path.stem)
    last.write_bytes(last.read_bytes()[:-1000])
    (folder / "model" / WEIGHTS_FILE).unlink()
    done = trainer("train", "--resume", "--run", "cut", *trained.folders)
    assert done.returncode == 0, done.stderr
    assert f"{last.name}: this checkpoint can't be read" in done.stdout
    assert sha256_file(folder / "model" / WEIGHTS_FILE) == sha256_file(trained.run.sealed / WEIGHTS_FILE)


def test_training_on_a_full_disk_ends_with_one_line_and_resumes_once_there_is_room(
    trained: Trained, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(40)  # room for Phase A, not for Phase B's optimizer
    folders = ["--data-dir", str(trained.data_dir), "--runs-dir", str(disk)]
    done = trainer("train", *FLAGS, *folders, "--run", "full")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "No space left on device" in line]
    assert line.startswith(f"trainer: {disk / 'full'}")
    assert line == done.stderr.splitlines()[-1]
    for word in ("Traceback", "terminating", "Exception"):
        assert word not in done.stderr
    assert list((disk / "full" / "checkpoints").glob("a_last_*.pt"))

    subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
    done = trainer("train", "--resume", *folders, "--run", "full")
    assert done.returncode == 0, done.stderr
    assert sha256_file(disk / "full" / "model" / WEIGHTS_FILE) == sha256_file(trained.run.sealed / WEIGHTS_FILE)
