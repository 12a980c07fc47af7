"""One training phase: Ignite's handlers around the engines. Phase A trains the head, Phase B the last blocks too."""

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, EMAHandler, LRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainer.features.batches import PlainBatches, TrainBatches
from trainer.models.classifier import Tail
from trainer.running.progress import say, task
from trainer.settings import Settings
from trainer.training.checkpoints import CheckpointSaver, MemorySaver, best_checkpoint, last_checkpoint, resume
from trainer.training.engines import create_evaluator, create_trainer
from trainer.training.epoch_log import SHOWN, History, epoch_line, measured
from trainer.training.losses import Objective
from trainer.training.selection import Selection
from trainer.training.tensorboard import Board


@dataclass(frozen=True)
class PhasePlan:
    """What differs between the phases."""

    name: str
    """``a`` or ``b``: prefix of its checkpoints and TensorBoard tags."""
    epochs: int
    lr: float
    """Peak learning rate of the head."""
    averaging: float
    """Epochs that the moving average of the weights reaches back; it is what is judged and kept. 0: none."""
    settings: Settings
    """All that is the same in both."""
    before: int = 0
    """Epochs of the phase before."""

    @classmethod
    def first(cls, settings: Settings) -> "PhasePlan":
        """Phase A of the settings."""
        return cls("a", settings.epochs_a, settings.lr_a, 0.0, settings)

    @classmethod
    def second(cls, settings: Settings, before: int) -> "PhasePlan":
        """Phase B of the settings, after so many epochs of Phase A."""
        return cls("b", settings.epochs_b, settings.lr_b, settings.averaging, settings, before)

    @property
    def last(self) -> bool:
        """Whether no other phase follows."""
        return self.name == "b" or not self.settings.epochs_b

    @property
    def title(self) -> str:
        """Name in what users see."""
        return f"Phase {self.name.upper()}"


@dataclass(frozen=True)
class PhaseData:
    """What a phase is trained and judged on."""

    train: TrainBatches
    validation: PlainBatches
    classes: list[str]
    adjustment: Tensor | None = None
    """S×C, see :class:`~trainer.training.losses.Objective`."""


class PhaseLog(Protocol):
    """Who is told of a phase as it goes."""

    def attach(self, plan: PhasePlan, trainer: Engine, evaluator: Engine, optimizer: Optimizer) -> None:
        """Listen to a phase's engines; ``evaluator`` runs after each epoch, and once before the first."""

    def forget(self, phase: str, after: int) -> None:
        """A phase's epochs after that one are to come again."""

    def ended(self, plan: PhasePlan, result: "PhaseResult") -> None:
        """A phase has ended."""


@dataclass(frozen=True)
class EpochLog:
    """Where epochs are told, written down and shown as they end."""

    history: History
    board: Board

    def attach(self, plan: PhasePlan, trainer: Engine, evaluator: Engine, optimizer: Optimizer) -> None:
        """Tell of each epoch of a phase, on the first process."""
        if idist.get_rank() == 0:
            evaluator.add_event_handler(Events.COMPLETED, self._show, plan, trainer, optimizer)
            self.board.attach(evaluator)

    def forget(self, phase: str, after: int) -> None:
        """Leave out a phase's epochs after that one, which are to come again."""
        self.history.forget(phase, after)

    def ended(self, plan: PhasePlan, result: "PhaseResult") -> None:
        """Tell which epoch was kept."""
        say(result.kept)

    def _show(self, evaluator: Engine, plan: PhasePlan, trainer: Engine, optimizer: Optimizer) -> None:
        epoch, rates = trainer.state.epoch, {group["name"]: group["lr"] for group in optimizer.param_groups}
        training, validation = trainer.state.metrics if epoch else {}, evaluator.state.metrics
        rows = [measured(plan.name, epoch, "train", training, rates["head"])] if epoch else []
        rows.append(measured(plan.name, epoch, "val", validation))
        self.history.add(*rows)
        say(epoch_line(f"{plan.title} {epoch:3}/{plan.epochs}", rows))
        if epoch or not plan.before:  # a second phase begins as the first one's kept epoch, which is shown already
            self.board.show_epoch(plan.before + epoch, training, validation, rates)


@dataclass(frozen=True)
class PhaseResult:
    """How a phase ended."""

    best_epoch: int
    """Of the weights that became the model, see :class:`~.selection.Selection`; 0: those at the start."""
    best_macro_f1: float
    """Its macro F1 within sites on the validation images."""
    epochs: int
    seconds: float
    kept: str
    """Which epoch was kept, and why, in words."""


def parameter_groups(tail: Tail, lr: float, factor: float) -> list[dict[str, Any]]:
    """Discriminative learning rates (Howard & Ruder 2018): the head's ``lr``, each stage before it times ``factor``."""
    groups: list[dict[str, Any]] = [{"params": list(tail.head.parameters()), "lr": lr, "name": "head"}]
    trained = [stage for stage in tail.stages if any(one.requires_grad for one in stage.parameters())]
    for depth, stage in enumerate(reversed(trained), start=1):
        name = f"block-{depth}"
        groups.append({"params": list(stage.parameters()), "lr": lr * factor**depth, "name": name})
    return groups


def cosine_with_warmup(warmup: int, total: int, step: int) -> float:
    """Factor of the learning rate: linear warm-up, then cosine annealing to zero (Loshchilov & Hutter 2017)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def run_phase(plan: PhasePlan, tail: Tail, data: PhaseData, folder: Path | None, log: PhaseLog) -> PhaseResult:
    """Train ``tail`` and leave its best weights in it.

    ``folder`` gets ``<name>_best_*.pt`` and ``<name>_last_*.pt``. With ``--resume`` it goes on from the last one.
    Without a folder nothing is written, and nothing can go on.
    Everything random is a function of (seed, epoch), so that a resumed run ends as the unbroken one would have.

    Raises:
        UserError: a checkpoint can't be read.
        OSError: a checkpoint can't be written.
    """
    settings, steps = plan.settings, len(data.train)
    optimizer, scheduler = _optimizer(plan, tail, steps)
    objective = Objective(tail, settings.label_smoothing, data.adjustment)
    together = idist.auto_model(objective), idist.auto_optim(optimizer)
    trainer = create_trainer(*together, data.classes)
    judged = _averaged(tail, trainer, plan.averaging * steps)
    sites = int(data.validation.sites.max()) + 1
    evaluator = create_evaluator(judged, data.classes, sites)
    chosen_by = "macro_f1_within_sites" if sites > 1 else "macro_f1"
    selection = Selection(len(data.validation.labels), SHOWN[chosen_by])
    evaluator.add_event_handler(
        Events.COMPLETED, lambda engine: selection.takes(trainer.state.epoch, engine.state.metrics[chosen_by])
    )

    def score(_: Engine) -> float:
        return trainer.state.epoch if selection.epoch == trainer.state.epoch else -1

    stopping = EarlyStopping(settings.patience, score, trainer)
    saver = CheckpointSaver(folder) if folder else MemorySaver()
    best = best_checkpoint(saver, plan.name, judged, score, trainer)
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
    trainer.add_event_handler(Events.EPOCH_STARTED, _reseed, settings.seed)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, _share_statistics, tail)
    trainer.add_event_handler(Events.ITERATION_STARTED, scheduler)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(data.validation))
    evaluator.add_event_handler(Events.COMPLETED, best)
    log.attach(plan, trainer, evaluator, optimizer)
    with task(plan.title, plan.epochs * steps) as advance:
        if folder and _resume(plan, folder, state, data, log):
            advance(trainer.state.epoch * steps)
        else:
            evaluator.run(data.validation)
        evaluator.add_event_handler(Events.COMPLETED, stopping)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: advance(1))
        if folder:  # last of all, so that it holds what every other handler of this epoch has changed
            trainer.add_event_handler(Events.EPOCH_COMPLETED, last_checkpoint(folder, plan.name, state, trainer))
        started = time.perf_counter()
        if trainer.state.epoch < plan.epochs and stopping.counter < settings.patience:
            trainer.run(data.train, max_epochs=plan.epochs, epoch_length=steps)
        seconds = time.perf_counter() - started
    if idist.get_rank() == 0:  # the others get them from this one when the next phase begins
        tail.load_state_dict(saver.read(str(best.last_checkpoint)))
    kept = _kept(plan, selection, trainer.state.epoch)
    result = PhaseResult(selection.epoch, selection.macro_f1, trainer.state.epoch, seconds, kept)
    log.ended(plan, result)
    return result


def _resume(plan: PhasePlan, folder: Path, state: dict[str, Any], data: PhaseData, log: PhaseLog) -> bool:
    """Go on from the phase's last checkpoint, if that is wanted and there is one."""
    resumed = plan.settings.resume and resume(folder, plan.name, state)
    epoch = state["trainer"].state.epoch
    data.train.first_epoch = epoch + 1
    log.forget(plan.name, after=epoch if resumed else -1)
    return resumed


def _optimizer(plan: PhasePlan, tail: Tail, steps: int) -> tuple[Optimizer, LRScheduler]:
    """The optimizer and what sets its rates; ``steps``: of an epoch."""
    groups = parameter_groups(tail, plan.lr, plan.settings.block_lr_factor)
    optimizer = AdamW(groups, weight_decay=plan.settings.weight_decay, fused=True)
    factor = partial(cosine_with_warmup, round(plan.settings.warmup_epochs * steps), plan.epochs * steps)
    return optimizer, LRScheduler(LambdaLR(optimizer, factor))


def _kept(plan: PhasePlan, selection: Selection, epoch: int) -> str:
    start = " (as it began)" if selection.epoch == 0 else ""
    kept = f"kept: {plan.title} epoch {selection.epoch}{start} of {plan.epochs}, {selection.reason}"
    if epoch == plan.epochs:
        return kept
    return f"{kept}; stopped after epoch {epoch}, the last {plan.settings.patience} being clearly worse"


def _averaged(tail: Tail, trainer: Engine, steps: float) -> nn.Module:
    """The moving average of the weights over ``steps``, which ``trainer`` keeps up; ``tail`` itself for at most one."""
    if steps <= 1:
        return tail
    average = EMAHandler(tail, momentum=1 / steps)
    average.attach(trainer)
    return average.ema_model


def _reseed(trainer: Engine, seed: int) -> None:
    torch.manual_seed(seed * 1_000_003 + trainer.state.epoch * 1009 + idist.get_rank())


def _share_statistics(_: Engine, tail: Tail) -> None:
    for buffer in tail.buffers():  # each process's BatchNorm has seen its own images
        buffer.copy_(torch.as_tensor(idist.broadcast(buffer, src=0)))
