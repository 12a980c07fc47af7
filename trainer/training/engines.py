"""Factories of Ignite engines: one that trains, one that measures."""

import logging

import torch
from ignite.engine import Engine
from ignite.metrics import ConfusionMatrix, DiceCoefficient, Loss
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.features.batches import Batch, TrainBatch


def create_trainer(objective: nn.Module, optimizer: Optimizer) -> Engine:
    """An engine whose step is forward, backward and update; its output is the batch's loss.

    ``objective``: an :class:`~trainer.training.losses.Objective`, or one that several processes share.
    """

    def step(engine: Engine, batch: TrainBatch) -> float:
        objective.train()
        optimizer.zero_grad(set_to_none=True)
        # bfloat16 needs no scaling of the loss; on CPUs it made the tail slower.
        device = batch[0].device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss: Tensor = objective(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return _quiet(Engine(step))


def create_evaluator(model: nn.Module, criterion: nn.Module, classes: list[str]) -> Engine:
    """An engine that measures ``loss``, ``macro_f1``, ``f1_<class>`` and ``confusion`` over all processes."""

    @torch.inference_mode()
    def step(engine: Engine, batch: Batch) -> tuple[Tensor, Tensor]:
        model.eval()
        x, y = batch
        return model(x), y

    engine = _quiet(Engine(step))
    confusion = ConfusionMatrix(len(classes))
    f1 = DiceCoefficient(confusion)  # another name for it
    confusion.attach(engine, "confusion")
    Loss(criterion).attach(engine, "loss")
    f1.mean().item().attach(engine, "macro_f1")
    for index, name in enumerate(classes):
        f1[index].item().attach(engine, f"f1_{name}")
    return engine


def _quiet(engine: Engine) -> Engine:
    """``engine``, which does not log the exception that ends it: whoever called it is told, and tells the user."""
    engine.logger.setLevel(logging.CRITICAL)
    return engine
