"""The engines: training lowers the loss, and validation measures what the test does."""

import numpy as np
import pytest
import torch
from ignite.engine import Events
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam

from tests.support.training import radiographs
from trainer.evaluation.metrics import compute_metrics
from trainer.models.classifier import Classifier, Tail
from trainer.training.engines import create_evaluator, create_trainer
from trainer.training.losses import Objective


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    x, y, sites = radiographs()
    tail = Tail(Classifier([torch.nn.Linear(6, 6)], embedding_size=6, classes=2, dropout=0.0), cut=0)
    del tail.stages[-1]  # the pooling: these are no maps
    objective = Objective(tail)
    trainer = create_trainer(objective, Adam(objective.parameters(), lr=0.02), ["A", "B"])
    losses: list[float] = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: losses.append(engine.state.metrics["cross_entropy"])
    )
    trainer.run([(x, y, torch.ones(len(y)), sites)] * 50, max_epochs=4)
    assert losses[-1] < losses[0] / 2
    assert (tail(x).argmax(dim=1) == y).float().mean().item() > 0.9


def test_the_training_metric_agrees_with_the_test_metric() -> None:
    classes = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]
    rng = np.random.default_rng(0)
    truth, probabilities = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    expected = compute_metrics(truth, probabilities, classes)
    logits, labels = torch.tensor(probabilities).log(), torch.tensor(truth)
    sites = torch.arange(200) % 4
    batches = [(logits[rows], labels[rows], sites[rows]) for rows in (slice(64), slice(64, None))]
    metrics = create_evaluator(nn.Identity(), classes, sites=4).run(batches).metrics
    assert metrics["macro_f1"] == pytest.approx(expected.macro_f1, abs=1e-12)
    assert metrics["cross_entropy"] == pytest.approx(expected.cross_entropy, rel=1e-6)
    for name in classes:
        assert metrics[f"f1_{name}"] == pytest.approx(expected.per_class[name].f1, abs=1e-12)
    assert metrics["confusion"].tolist() == expected.confusion_matrix
    of_sites = [compute_metrics(truth[i::4], probabilities[i::4], classes).macro_f1 for i in range(4)]
    assert metrics["macro_f1_within_sites"] == pytest.approx(np.mean(of_sites), abs=1e-12)


def test_what_is_shown_of_training_is_the_mean_cross_entropy_of_the_bare_logits() -> None:
    """Weights, smoothing and a site's prior are in the loss, and not in what is shown as such."""
    x, y, sites = radiographs()
    tail = Tail(Classifier([], embedding_size=6, classes=2, dropout=0.0), cut=1)
    adjustment = torch.tensor([[0.0, -3.0]]).expand(int(sites.max()) + 1, 2).contiguous()
    objective = Objective(tail, label_smoothing=0.2, adjustment=adjustment)
    trainer = create_trainer(objective, SGD(objective.parameters(), lr=0.0), ["A", "B"])
    weights = torch.rand(len(y), generator=torch.Generator().manual_seed(0))
    batches = [(x[rows], y[rows], weights[rows], sites[rows]) for rows in (slice(0, 32), slice(32, 64))]
    metrics = trainer.run(batches, max_epochs=1).metrics
    assert metrics["cross_entropy"] == pytest.approx(cross_entropy(tail(x), y).item(), rel=1e-5)
    expected = compute_metrics(y.numpy(), torch.softmax(tail(x), dim=1).detach().numpy(), ["A", "B"])
    assert metrics["macro_f1"] == pytest.approx(expected.macro_f1)
