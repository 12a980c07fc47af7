"""One training phase: Ignite's handlers around the engines. Phase A trains the head, Phase B the last blocks too."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import (
    Checkpoint,
    DiskSaver,
    EarlyStopping,
    EMAHandler,
    LRScheduler,
    ProgressBar,
    global_step_from_engine,
)
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainer.errors import UserError
from trainer.features.batches import PlainBatches, TrainBatches
from trainer.models.backbones import Tail
from trainer.training.engines import Objective, create_evaluator, create_trainer
from trainer.training.selection import Selection
from trainer.training.tensorboard import Board


class TolerantSaver(DiskSaver):
    """A saver that doesn't mind when a killed run has already removed what it is to remove."""

    def remove(self, filename: str) -> None:
        """Remove a checkpoint if it is there."""
        Path(self.dirname, filename).unlink(missing_ok=True)


@dataclass(frozen=True)
class PhasePlan:
    """What differs between the phases."""

    name: str
    """``a`` or ``b``: prefix of its checkpoints and TensorBoard tags."""
    epochs: int
    groups: list[dict[str, Any]]
    """AdamW's parameter groups with their peak learning rates."""
    warmup_epochs: float
    patience: int
    weight_decay: float
    label_smoothing: float
    site_alignment: float
    averaging: float
    """Epochs that the moving average of the weights reaches back; it is what is judged and kept. 0: none."""
    seed: int


@dataclass(frozen=True)
class PhaseResult:
    """How a phase ended."""

    best_epoch: int
    """The one that became the model, see :class:`~trainer.training.selection.Selection`; 0: the weights at the start."""
    best_macro_f1: float
    """Its macro F1 on the validation images."""
    epochs: int
    seconds: float


def parameter_groups(tail: Tail, lr: float, factor: float) -> list[dict[str, Any]]:
    """Discriminative learning rates (Howard & Ruder 2018): the head's ``lr``, each stage before it times ``factor``."""
    groups: list[dict[str, Any]] = [{"params": list(tail.head.parameters()), "lr": lr, "name": "head"}]
    trained = [stage for stage in tail.stages if any(True for _ in stage.parameters())]
    for depth, stage in enumerate(reversed(trained), start=1):
        name = f"block-{depth}"
        groups.append({"params": list(stage.parameters()), "lr": lr * factor**depth, "name": name})
    return groups


def cosine_with_warmup(warmup: int, total: int, step: int) -> float:
    """Factor of the learning rate: linear warm-up, then cosine annealing to zero (Loshchilov & Hutter 2017)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def run_phase(
    plan: PhasePlan,
    tail: Tail,
    train: TrainBatches,
    validation: PlainBatches,
    classes: list[str],
    folder: Path,
    board: Board,
    resume: bool,
) -> PhaseResult:
    """Train ``tail`` and leave its best weights in it.

    ``folder`` gets ``<name>_best_*.pt`` and ``<name>_last_*.pt``. With ``resume`` it goes on from the last one.
    Everything random is a function of (seed, epoch), so that a resumed run ends as the unbroken one would have.
    """
    optimizer: Optimizer = AdamW(plan.groups, weight_decay=plan.weight_decay, fused=True)
    total = plan.epochs * len(train)
    warmup = round(plan.warmup_epochs * len(train))
    scheduler = LRScheduler(LambdaLR(optimizer, partial(cosine_with_warmup, warmup, total)))
    objective = Objective(tail, plan.label_smoothing, plan.site_alignment)
    trainer = create_trainer(idist.auto_model(objective), idist.auto_optim(optimizer))
    judged: nn.Module = tail
    if plan.averaging * len(train) > 1:
        average = EMAHandler(tail, momentum=1 / (plan.averaging * len(train)))
        average.attach(trainer)
        judged = average.ema_model
    evaluator = create_evaluator(judged, nn.CrossEntropyLoss(), classes)

    selection = Selection(len(validation.labels))

    @evaluator.on(Events.COMPLETED)
    def select(engine: Engine) -> None:
        selection.takes(trainer.state.epoch, engine.state.metrics["macro_f1"])

    def score(_: Engine) -> float:
        return trainer.state.epoch if selection.epoch == trainer.state.epoch else -1

    stopping = EarlyStopping(plan.patience, score, trainer)
    saver = TolerantSaver(str(folder), create_dir=True, require_empty=False)
    # Ignite removes an old checkpoint before it writes the new one: with two of each, a killed run has one.
    best = Checkpoint(
        {"tail": judged},
        saver,
        n_saved=2,
        filename_prefix=f"{plan.name}_best",
        score_function=score,
        global_step_transform=global_step_from_engine(trainer),
        filename_pattern="{filename_prefix}_{name}_epoch={global_step}.pt",
    )
    state = {
        "trainer": trainer,
        "tail": tail,
        "judged": judged,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "selection": selection,
        "stopping": stopping,
        "best": best,
    }
    last = Checkpoint(
        state,
        saver,
        n_saved=2,
        filename_prefix=f"{plan.name}_last",
        global_step_transform=global_step_from_engine(trainer),
    )

    @trainer.on(Events.EPOCH_STARTED)
    def reseed(engine: Engine) -> None:
        torch.manual_seed(plan.seed * 1_000_003 + engine.state.epoch * 1009 + idist.get_rank())

    @trainer.on(Events.EPOCH_COMPLETED)
    def share_statistics(_: Engine) -> None:
        for buffer in tail.buffers():  # each process's BatchNorm has seen its own images
            buffer.copy_(torch.as_tensor(idist.broadcast(buffer, src=0)))

    trainer.add_event_handler(Events.ITERATION_STARTED, scheduler)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(validation))
    evaluator.add_event_handler(Events.COMPLETED, best)
    board.attach(plan.name, trainer, evaluator, optimizer)
    if idist.get_rank() == 0:
        _attach_progress(plan, trainer, evaluator)

    checkpoint = newest_checkpoint(folder, plan.name) if resume else None
    if checkpoint:
        saved: Mapping[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
        if lacking := state.keys() - saved.keys():
            raise UserError(
                f"{checkpoint}: of another version of the trainer (no {', '.join(sorted(lacking))}); start a new run"
            )
        Checkpoint.load_objects(state, saved)
        train.first_epoch = trainer.state.epoch + 1
    else:
        evaluator.run(validation)
    evaluator.add_event_handler(Events.COMPLETED, stopping)
    # Last of all, so that it holds what every other handler of this epoch has changed.
    trainer.add_event_handler(Events.EPOCH_COMPLETED, last)
    started = time.perf_counter()
    if trainer.state.epoch < plan.epochs and stopping.counter < plan.patience:
        trainer.run(train, max_epochs=plan.epochs, epoch_length=len(train))
    seconds = time.perf_counter() - started
    if idist.get_rank() == 0:  # the others get them from this one when the next phase begins
        tail.load_state_dict(torch.load(str(best.last_checkpoint), weights_only=True, map_location="cpu"))
    return PhaseResult(selection.epoch, selection.macro_f1, trainer.state.epoch, seconds)


def newest_checkpoint(folder: Path, phase: str) -> Path | None:
    """The last resumable checkpoint of a phase, if there is one."""
    found = folder.glob(f"{phase}_last_checkpoint_*.pt")
    return max(found, key=lambda path: int(path.stem.rpartition("_")[2]), default=None)


def _attach_progress(plan: PhasePlan, trainer: Engine, evaluator: Engine) -> None:
    bar = ProgressBar(desc=f"Phase {plan.name.upper()}", persist=False)
    bar.attach(trainer, output_transform=lambda loss: {"loss": loss})

    def report() -> None:
        metrics, output = evaluator.state.metrics, trainer.state.output
        loss = "" if output is None else f"loss {output:.3f}  "
        bar.log_message(
            f"Phase {plan.name.upper()} {trainer.state.epoch:3}/{plan.epochs}  {loss}"
            f"validation loss {metrics['loss']:.3f}  macro F1 {metrics['macro_f1']:.4f}"
        )

    evaluator.add_event_handler(Events.COMPLETED, report)
