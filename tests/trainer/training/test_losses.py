"""The loss: weighted cross-entropy and the distance of sites."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from tests.support.training import radiographs
from trainer.models.classifier import Classifier, Tail
from trainer.training.losses import Objective, site_adjustment, site_distance


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
    assert Objective(tail, 0.1)(x, y, weights, sites).total.item() == pytest.approx(plain)
    both = plain + 0.5 * site_distance(x, y, sites).item()
    assert Objective(tail, 0.1, 0.5)(x, y, weights, sites).total.item() == pytest.approx(both)


LABELS = np.array([0, 0, 0, 1, 1, 0, 1, 1])
WEIGHTS = np.array([1, 1, 2, 1, 3, 2, 2, 9], np.float32)
SITES = ["A", "A", "A", "A", "A", "B", "", ""]


def test_the_adjustment_is_the_logarithm_of_each_classs_weight_in_its_site() -> None:
    """Site A: 4 of 8 is class 0. Site B has class 0 alone. Of the images of unknown site nothing is known."""
    found = site_adjustment(LABELS, WEIGHTS, SITES, classes=2)
    expected = [[0, 0], [math.log(4 / 8), math.log(4 / 8)], [math.log(1.0), math.log(1e-6)]]  # sites "", A, B
    torch.testing.assert_close(found, torch.tensor(expected))
    counted = site_adjustment(LABELS, None, SITES, classes=3)
    torch.testing.assert_close(counted[1], torch.tensor([3 / 5, 2 / 5, 1e-6]).log())


def test_the_adjusted_loss_is_cross_entropy_of_logits_with_the_sites_prior() -> None:
    """By hand: one image of each site, of class 1, whose logits are 0.3 and -0.2; the validation's logits are bare."""
    tail = Tail(Classifier([], embedding_size=1, classes=2, dropout=0.0), cut=1)
    nn.init.zeros_(tail.head.weight)
    tail.head.bias.data = torch.tensor([0.3, -0.2])
    x, y, weights, sites = torch.ones(3, 1), torch.tensor([1, 1, 1]), torch.tensor([1.0, 2.0, 1.0]), torch.arange(3)
    shares = torch.tensor([[1.0, 1.0], [0.8, 0.2], [0.1, 0.9]])
    objective = Objective(tail, adjustment=0.5 * shares.log())
    losses = []
    for p in ((1, 1), (0.8, 0.2), (0.1, 0.9)):
        scores = [math.exp(0.3) * p[0] ** 0.5, math.exp(-0.2) * p[1] ** 0.5]
        losses.append(-math.log(scores[1] / sum(scores)))
    expected = (losses[0] + 2 * losses[1] + losses[2]) / 4
    assert objective(x, y, weights, sites).total.item() == pytest.approx(expected, rel=1e-5)
    assert tail(x)[0].tolist() == pytest.approx([0.3, -0.2])


def test_without_strength_the_same_weights_are_trained() -> None:
    x, y, sites = radiographs()
    weights = torch.ones(len(y))
    trained = []
    for adjustment in (None, 0.0 * site_adjustment(y.numpy(), None, [str(site) for site in sites.tolist()], 2)):
        torch.manual_seed(0)
        tail = Tail(Classifier([], embedding_size=6, classes=2, dropout=0.0), cut=1)
        objective = Objective(tail, adjustment=adjustment)
        optimizer = SGD(objective.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            objective(x, y, weights, sites).total.backward()
            optimizer.step()
        trained.append(tail.head.weight.detach().clone())
    assert torch.equal(*trained)
