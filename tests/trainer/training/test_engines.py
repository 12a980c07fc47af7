"""The loss that training lowers."""

from itertools import combinations

import pytest
import torch
from ignite.engine import Events
from torch.nn import functional as F
from torch.optim import Adam

from trainer.models.backbones import Classifier, Tail
from trainer.training.engines import Objective, create_trainer, source_distance


def films(count: int = 64, features: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings in which the class is told by the first feature and the source by the second."""
    generator = torch.Generator().manual_seed(0)
    y, sources = (torch.randint(high, (count,), generator=generator) for high in (2, 3))
    x = torch.randn(count, features, generator=generator)
    x[:, 0] += 4 * y
    x[:, 1] += 2 * sources
    return x, y, sources


def test_the_distance_is_the_mean_over_all_pairs_of_sources_of_a_class() -> None:
    x, y, sources = films()
    groups = [(y == one) & (sources == source) for one in range(2) for source in range(3)]
    within = sum((x[own] - x[own].mean(0)).square().sum(0) for own in groups) / (len(x) - len(groups))
    expected = [
        (x[a].mean(0) - x[b].mean(0)).square() - within * (1 / a.sum() + 1 / b.sum())
        for three in (groups[:3], groups[3:])
        for a, b in combinations(three, 2)
    ]
    assert source_distance(x, y, sources).item() == pytest.approx(
        (torch.stack(expected) / (x.var(0) + 1e-3)).mean().item(), rel=1e-4
    )


@pytest.mark.parametrize("batch", [8, 16, 64])
def test_a_few_films_that_lie_apart_by_chance_have_no_distance_in_the_mean(batch: int) -> None:
    """Else a network would be rewarded for making all films alike, the more the more sources there are."""
    generator = torch.Generator().manual_seed(1)
    same, apart = [], []
    for _ in range(400):
        y, sources = (torch.randint(high, (batch,), generator=generator) for high in (2, 3))
        x = torch.randn(batch, 32, generator=generator)
        same.append(source_distance(x, y, sources).item())
        x[:, :16] += 2 * sources[:, None]
        apart.append(source_distance(x, y, sources).item())
    assert abs(sum(same) / len(same)) < 0.03
    assert sum(apart) / len(apart) > 0.7


def test_films_of_which_no_group_has_two_have_no_distance() -> None:
    assert source_distance(torch.randn(3, 5), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])).item() == 0


def test_what_tells_the_class_alone_is_no_distance() -> None:
    x, y, _ = films()
    assert source_distance(x, y, torch.zeros_like(y)).item() == pytest.approx(0, abs=1e-6)
    assert source_distance(x, y, y).item() == pytest.approx(0, abs=1e-6)  # each source has a class of its own
    assert source_distance(x[:1], y[:1], y[:1]).item() == 0


def test_the_loss_is_weighted_cross_entropy_and_the_distance() -> None:
    x, y, sources = films()
    weights = torch.rand(len(y), generator=torch.Generator().manual_seed(1))
    tail = Tail(Classifier([], embedding_size=6, classes=2, dropout=0.0), cut=1)
    each = F.cross_entropy(tail(x), y, reduction="none", label_smoothing=0.1)
    plain = ((each * weights).sum() / weights.sum()).item()
    assert Objective(tail, 0.1)(x, y, weights, sources).item() == pytest.approx(plain)
    both = plain + 0.5 * source_distance(x, y, sources).item()
    assert Objective(tail, 0.1, 0.5)(x, y, weights, sources).item() == pytest.approx(both)


def trained(alignment: float) -> tuple[float, float]:
    """Distance of the sources and share of right classes after training."""
    torch.manual_seed(0)
    x, y, sources = films()
    tail = Tail(Classifier([torch.nn.Linear(6, 6)], embedding_size=6, classes=2, dropout=0.0), cut=0)
    del tail.stages[-1]  # the pooling: these are no maps
    objective = Objective(tail, source_alignment=alignment)
    trainer = create_trainer(objective, Adam(objective.parameters(), lr=0.02))
    losses: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output))
    trainer.run([(x, y, torch.ones(len(y)), sources)] * 200, max_epochs=1)
    assert losses[-1] < losses[0]
    right = (tail(x).argmax(dim=1) == y).float().mean().item()
    return source_distance(tail.stages(x), y, sources).item(), right


def test_training_brings_the_sources_of_a_class_together_if_asked() -> None:
    (apart, right), (together, still_right) = trained(0.0), trained(2.0)
    assert together < apart / 4
    assert min(right, still_right) > 0.9
