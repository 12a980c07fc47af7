"""Factories of Ignite engines: one that trains, one that measures. Both show the same metrics under the same names."""

import logging
from typing import cast

import torch
from ignite.engine import Engine
from ignite.metrics import ConfusionMatrix, DiceCoefficient, Loss, MetricsLambda
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.optim import Optimizer

from trainer.features.batches import Batch, TrainBatch
from trainer.training.losses import Losses
from trainer.training.selection import macro_f1_within_sites


def create_trainer(objective: nn.Module, optimizer: Optimizer, classes: list[str]) -> Engine:
    """An engine whose step is forward, backward and update, and which measures what it sees in an epoch.

    Args:
        objective: an :class:`~trainer.training.losses.Objective`, or one that several processes share.
        optimizer: of its parameters.
        classes: C names.
    """

    def step(engine: Engine, batch: TrainBatch) -> tuple[Tensor, Tensor]:
        objective.train()
        optimizer.zero_grad(set_to_none=True)
        # bfloat16 needs no scaling of the loss; on CPUs it made the tail slower.
        device = batch[0].device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            losses: Losses = objective(*batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return losses.logits.float(), batch[1]

    engine = Engine(step)
    _attach_metrics(engine, classes)
    return _quiet(engine)


def create_evaluator(model: nn.Module, classes: list[str], sites: int = 1) -> Engine:
    """An engine that measures what :func:`create_trainer` does, and of several sites ``macro_f1_within_sites``.

    Args:
        model: gives logits.
        classes: C names.
        sites: S, more than the largest site index.
    """
    count = len(classes)

    @torch.inference_mode()
    def step(engine: Engine, batch: Batch) -> tuple[Tensor, Tensor]:
        model.eval()
        x, y, _ = batch
        return model(x), y

    def by_site(output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Predictions and labels among S·C classes: those of each site are classes of their own."""
        logits, labels = output
        first = count * cast("Batch", engine.state.batch)[2]
        return one_hot(first + logits.argmax(dim=1), sites * count), first + labels

    def within(pairs: Tensor) -> float:
        by_pair = pairs.view(sites, count, sites, count)
        return macro_f1_within_sites(by_pair.diagonal(dim1=0, dim2=2).permute(2, 0, 1))

    engine = Engine(step)
    _attach_metrics(engine, classes)
    if sites > 1:
        pairs = ConfusionMatrix(sites * count, output_transform=by_site)
        MetricsLambda(within, pairs).attach(engine, "macro_f1_within_sites")
    return _quiet(engine)


def _attach_metrics(engine: Engine, classes: list[str]) -> None:
    """``cross_entropy``, ``macro_f1``, ``f1_<class>`` and ``confusion``."""
    confusion = ConfusionMatrix(len(classes))
    f1 = DiceCoefficient(confusion)  # another name for it
    confusion.attach(engine, "confusion")
    Loss(cross_entropy).attach(engine, "cross_entropy")
    f1.mean().item().attach(engine, "macro_f1")
    for index, name in enumerate(classes):
        f1[index].item().attach(engine, f"f1_{name}")


def _quiet(engine: Engine) -> Engine:
    """``engine``, which does not log the exception that ends it: whoever called it is told, and tells the user."""
    engine.logger.setLevel(logging.CRITICAL)
    return engine
