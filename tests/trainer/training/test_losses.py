"""The loss: weighted cross-entropy and the distance of sites."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional as F

from tests.support.training import radiographs
from trainer.models.classifier import Classifier, Tail
from trainer.training.losses import Objective, site_distance


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
