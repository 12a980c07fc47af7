"""Factories of Ignite engines: one that trains, one that measures. Both show the same metrics under the same names."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from ignite.engine import Engine
from ignite.metrics import Average, ConfusionMatrix, DiceCoefficient, Loss
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from trainer.features.batches import Batch, TrainBatch
from trainer.training.losses import Losses


class Step(NamedTuple):
    """Output of a training step, without gradients."""

    logits: Tensor
    """M×C."""
    labels: Tensor
    """M class indices."""
    terms: dict[str, Tensor]
    """Scalars; see :class:`~trainer.training.losses.Losses`."""


def create_trainer(objective: nn.Module, optimizer: Optimizer, classes: list[str], terms: Sequence[str] = ()) -> Engine:
    """An engine whose step is forward, backward and update, and which measures what it sees in an epoch.

    Args:
        objective: an :class:`~trainer.training.losses.Objective`, or one that several processes share.
        optimizer: of its parameters.
        classes: C names.
        terms: the objective's, whose means over the epoch's steps are measured too.
    """

    def step(engine: Engine, batch: TrainBatch) -> Step:
        objective.train()
        optimizer.zero_grad(set_to_none=True)
        # bfloat16 needs no scaling of the loss; on CPUs it made the tail slower.
        device = batch[0].device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            losses: Losses = objective(*batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return Step(losses.logits.float(), batch[1], losses.terms)

    engine = Engine(step)
    _attach_metrics(engine, classes, lambda output: output[:2])
    for name in terms:
        Average(lambda output, name=name: output.terms[name].item()).attach(engine, name)
    return _quiet(engine)


def create_evaluator(model: nn.Module, classes: list[str]) -> Engine:
    """An engine that measures ``cross_entropy``, ``macro_f1``, ``f1_<class>`` and ``confusion`` over all processes."""

    @torch.inference_mode()
    def step(engine: Engine, batch: Batch) -> tuple[Tensor, Tensor]:
        model.eval()
        x, y = batch
        return model(x), y

    engine = Engine(step)
    _attach_metrics(engine, classes, lambda output: output)
    return _quiet(engine)


def _attach_metrics(engine: Engine, classes: list[str], judged: Callable[[Any], tuple[Tensor, Tensor]]) -> None:
    """``judged``: from an output to logits and labels."""
    confusion = ConfusionMatrix(len(classes), output_transform=judged)
    f1 = DiceCoefficient(confusion)  # another name for it
    confusion.attach(engine, "confusion")
    Loss(cross_entropy, output_transform=judged).attach(engine, "cross_entropy")
    f1.mean().item().attach(engine, "macro_f1")
    for index, name in enumerate(classes):
        f1[index].item().attach(engine, f"f1_{name}")


def _quiet(engine: Engine) -> Engine:
    """``engine``, which does not log the exception that ends it: whoever called it is told, and tells the user."""
    engine.logger.setLevel(logging.CRITICAL)
    return engine
