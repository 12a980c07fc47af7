"""The loss that training lowers."""

from itertools import combinations

import pytest
import torch
from ignite.engine import Events
from torch.nn import functional as F
from torch.optim import Adam

from trainer.models.backbones import Classifier, Tail
from trainer.training.engines import Objective, create_trainer, site_distance


def radiographs(count: int = 64, features: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings in which the class is told by the first feature and the site by the second."""
    generator = torch.Generator().manual_seed(0)
    y, sites = (torch.randint(high, (count,), generator=generator) for high in (2, 3))
    x = torch.randn(count, features, generator=generator)
    x[:, 0] += 4 * y
    x[:, 1] += 2 * sites
    return x, y, sites


def test_the_distance_is_the_mean_over_all_pairs_of_sites_of_a_class() -> None:
    x, y, sites = radiographs()
    groups = [(y == one) & (sites == site) for one in range(2) for site in range(3)]
    within = sum((x[own] - x[own].mean(0)).square().sum(0) for own in groups) / (len(x) - len(groups))
    expected = [
        (x[a].mean(0) - x[b].mean(0)).square() - within * (1 / a.sum() + 1 / b.sum())
        for three in (groups[:3], groups[3:])
        for a, b in combinations(three, 2)
    ]
    assert site_distance(x, y, sites).item() == pytest.approx(
        (torch.stack(expected) / (x.var(0) + 1e-3)).mean().item(), rel=1e-4
    )


@pytest.mark.parametrize("batch", [8, 16, 64])
def test_a_few_images_that_lie_apart_by_chance_have_no_distance_in_the_mean(batch: int) -> None:
    """Else a network would be rewarded for making all images alike, the more the more sites there are."""
    generator = torch.Generator().manual_seed(1)
    same, apart = [], []
    for _ in range(400):
        y, sites = (torch.randint(high, (batch,), generator=generator) for high in (2, 3))
        x = torch.randn(batch, 32, generator=generator)
        same.append(site_distance(x, y, sites).item())
        x[:, :16] += 2 * sites[:, None]
        apart.append(site_distance(x, y, sites).item())
    assert abs(sum(same) / len(same)) < 0.03
    assert sum(apart) / len(apart) > 0.7


def test_images_of_which_no_group_has_two_have_no_distance() -> None:
    assert site_distance(torch.randn(3, 5), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])).item() == 0


def test_what_tells_the_class_alone_is_no_distance() -> None:
    x, y, _ = radiographs()
    assert site_distance(x, y, torch.zeros_like(y)).item() == pytest.approx(0, abs=1e-6)
    assert site_distance(x, y, y).item() == pytest.approx(0, abs=1e-6)  # each site has a class of its own
    assert site_distance(x[:1], y[:1], y[:1]).item() == 0


def test_the_loss_is_weighted_cross_entropy_and_the_distance() -> None:
    x, y, sites = radiographs()
    weights = torch.rand(len(y), generator=torch.Generator().manual_seed(1))
    tail = Tail(Classifier([], embedding_size=6, classes=2, dropout=0.0), cut=1)
    each = F.cross_entropy(tail(x), y, reduction="none", label_smoothing=0.1)
    plain = ((each * weights).sum() / weights.sum()).item()
    assert Objective(tail, 0.1)(x, y, weights, sites).item() == pytest.approx(plain)
    both = plain + 0.5 * site_distance(x, y, sites).item()
    assert Objective(tail, 0.1, 0.5)(x, y, weights, sites).item() == pytest.approx(both)


def trained(alignment: float) -> tuple[float, float]:
    """Distance of the sites and share of right classes after training."""
    torch.manual_seed(0)
    x, y, sites = radiographs()
    tail = Tail(Classifier([torch.nn.Linear(6, 6)], embedding_size=6, classes=2, dropout=0.0), cut=0)
    del tail.stages[-1]  # the pooling: these are no maps
    objective = Objective(tail, site_alignment=alignment)
    trainer = create_trainer(objective, Adam(objective.parameters(), lr=0.02))
    losses: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output))
    trainer.run([(x, y, torch.ones(len(y)), sites)] * 200, max_epochs=1)
    assert losses[-1] < losses[0]
    right = (tail(x).argmax(dim=1) == y).float().mean().item()
    return site_distance(tail.stages(x), y, sites).item(), right


def test_training_brings_the_sites_of_a_class_together_if_asked() -> None:
    (apart, right), (together, still_right) = trained(0.0), trained(2.0)
    assert together < apart / 4
    assert min(right, still_right) > 0.9
