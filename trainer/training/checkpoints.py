"""Checkpoints of a phase: the best weights so far, and all that a resumed run needs."""

import io
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from ignite.handlers import Checkpoint, DiskSaver, global_step_from_engine
from ignite.handlers.checkpoint import BaseSaveHandler
from torch import nn

from trainer.errors import UserError
from trainer.files import write_bytes

KEPT = 2
"""Of each kind: Ignite removes an old checkpoint before it writes the new one, so a killed run has one."""


class CheckpointSaver(DiskSaver):
    """Writes whole files or none, and does not mind where a killed run has already removed what it is to remove."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), create_dir=True, require_empty=False)

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: object = None) -> None:
        """Write a checkpoint, on the first process.

        Raises:
            OSError: it can't be written; it names the file, which is then as it was.
        """
        if idist.get_rank() == 0:
            # In memory first: on a full disk torch.save reports a position in its archive and not the disk.
            content = io.BytesIO()
            torch.save(checkpoint, content)
            write_bytes(Path(self.dirname, filename), content.getvalue())

    def remove(self, filename: str) -> None:
        """Remove a checkpoint if it is there."""
        Path(self.dirname, filename).unlink(missing_ok=True)

    def read(self, filename: str) -> Mapping[str, Any]:
        """What a checkpoint holds; see :func:`read_checkpoint`."""
        return read_checkpoint(Path(self.dirname, Path(filename).name))


class MemorySaver(BaseSaveHandler):
    """Keeps checkpoints in memory, for a training that leaves nothing behind."""

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: object = None) -> None:
        """Keep a copy of a checkpoint."""
        self.kept[filename] = deepcopy(checkpoint)

    def remove(self, filename: str) -> None:
        """Forget a checkpoint."""
        self.kept.pop(filename, None)

    def read(self, filename: str) -> Mapping[str, Any]:
        """What a checkpoint holds."""
        return self.kept[filename]


def best_checkpoint(
    saver: CheckpointSaver | MemorySaver,
    phase: str,
    weights: nn.Module,
    score: Callable[[Engine], float],
    trainer: Engine,
) -> Checkpoint:
    """A handler that keeps the ``weights`` with the highest scores as ``<phase>_best_*.pt``."""
    return Checkpoint(
        {"tail": weights},
        saver,
        n_saved=KEPT,
        filename_prefix=f"{phase}_best",
        score_function=score,
        global_step_transform=global_step_from_engine(trainer),
        filename_pattern="{filename_prefix}_{name}_epoch={global_step}.pt",
    )


def last_checkpoint(folder: Path, phase: str, state: Mapping[str, Any], trainer: Engine) -> Checkpoint:
    """A handler that keeps the ``state`` of the last epochs as ``<phase>_last_checkpoint_<epoch>.pt``."""
    return Checkpoint(
        state,
        CheckpointSaver(folder),
        n_saved=KEPT,
        filename_prefix=f"{phase}_last",
        global_step_transform=global_step_from_engine(trainer),
    )


def keep_best(folder: Path, best: Mapping[str, int]) -> None:
    """Remove all checkpoints but the best one of each phase: its name, and the epoch whose weights were kept."""
    kept = {f"{phase}_best_tail_epoch={epoch}.pt" for phase, epoch in best.items()}
    for path in folder.glob("*.pt"):
        if path.name not in kept:
            path.unlink()


def resume(folder: Path, phase: str, state: Mapping[str, Any]) -> bool:
    """Load a phase's last checkpoint that can be read into ``state``; False where the phase has none.

    Raises:
        UserError: none of its checkpoints can be read, or it is another version's.
    """
    paths = sorted(
        folder.glob(f"{phase}_last_checkpoint_*.pt"), key=lambda path: int(path.stem.rpartition("_")[2]), reverse=True
    )
    for path in paths:
        try:
            saved = read_checkpoint(path)
        except UserError:
            if path == paths[-1]:
                raise
            if idist.get_rank() == 0:
                print(f"{path}: this checkpoint can't be read; the one before it is used")
            continue
        if lacking := state.keys() - saved.keys():
            raise UserError(
                f"{path}: of another version of the trainer (no {', '.join(sorted(lacking))}); start a new run"
            )
        Checkpoint.load_objects(dict(state), saved)
        return True
    return False


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        saved: Mapping[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises a dozen kinds for a file that is cut off
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: this checkpoint can't be read ({reason}); start a new run") from error
    return saved
