"""Pure factories of Ignite engines: they hold no state and wire nothing."""

import torch
from ignite.engine import Engine
from ignite.metrics import ConfusionMatrix, Loss, MetricsLambda
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from trainer.batches import Batch, WeightedBatch


def weighted_cross_entropy(logits: Tensor, y: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """Mean over the films of a batch, by their weights; logits M×C."""
    losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=label_smoothing)
    return (losses * weights).sum() / weights.sum()


def create_trainer(model: nn.Module, optimizer: Optimizer, label_smoothing: float) -> Engine:
    """An engine whose step is forward, backward and update; its output is the batch's loss."""

    def step(engine: Engine, batch: WeightedBatch) -> float:
        model.train()
        x, y, weights = batch
        optimizer.zero_grad(set_to_none=True)
        # bfloat16 needs no scaling of the loss; on CPUs it made the tail slower.
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=x.device.type == "cuda"):
            loss = weighted_cross_entropy(model(x), y, weights, label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return Engine(step)


def create_evaluator(model: nn.Module, criterion: nn.Module, classes: list[str]) -> Engine:
    """An engine that measures ``loss``, ``macro_f1``, ``f1_<class>`` and ``confusion`` over all processes."""

    @torch.inference_mode()
    def step(engine: Engine, batch: Batch) -> tuple[Tensor, Tensor]:
        model.eval()
        x, y = batch
        return model(x), y

    engine = Engine(step)
    confusion = ConfusionMatrix(len(classes))
    f1 = MetricsLambda(f1_by_class, confusion)
    confusion.attach(engine, "confusion")
    Loss(criterion).attach(engine, "loss")
    MetricsLambda(lambda values: values.mean().item(), f1).attach(engine, "macro_f1")
    for index, name in enumerate(classes):
        MetricsLambda(lambda values, index=index: values[index].item(), f1).attach(engine, f"f1_{name}")
    return engine


def f1_by_class(confusion: Tensor) -> Tensor:
    """F1 of each class from counts C×C (rows true): 2 TP / (2 TP + FP + FN), 0 where that is 0 / 0."""
    matrix = confusion.double()
    hits = matrix.diagonal()
    return 2 * hits / (matrix.sum(0) + matrix.sum(1)).clamp_min(1)
