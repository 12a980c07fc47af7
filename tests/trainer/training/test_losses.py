"""The loss: weighted cross-entropy, with each site's class shares taken out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from tests.support.training import radiographs
from trainer.models.classifier import Classifier, Tail
from trainer.training.losses import Objective, site_adjustment


def test_the_loss_is_weighted_cross_entropy() -> None:
    x, y, sites = radiographs()
    weights = torch.rand(len(y), generator=torch.Generator().manual_seed(1))
    tail = Tail(Classifier([], embedding_size=6, classes=2, dropout=0.0), cut=1)
    each = F.cross_entropy(tail(x), y, reduction="none", label_smoothing=0.1)
    plain = ((each * weights).sum() / weights.sum()).item()
    assert Objective(tail, 0.1)(x, y, weights, sites).total.item() == pytest.approx(plain)


LABELS = np.array([0, 0, 0, 1, 1, 0, 1, 1])
WEIGHTS = np.array([1, 1, 2, 1, 3, 2, 2, 9], np.float32)
SITES = ["A", "A", "A", "A", "A", "B", "", ""]


def test_the_adjustment_is_the_logarithm_of_each_classs_weight_in_its_site() -> None:
    """Site A: 4 of 8 is class 0. Site B has class 0 alone. Of the images of unknown site nothing is known."""
    found = site_adjustment(LABELS, WEIGHTS, SITES, classes=2)
    expected = [[0, 0], [math.log(2 * 4 / 8), math.log(2 * 4 / 8)], [math.log(2.0), math.log(2e-6)]]  # sites "", A, B
    torch.testing.assert_close(found, torch.tensor(expected))
    counted = site_adjustment(LABELS, None, SITES, classes=2)
    torch.testing.assert_close(counted[1], torch.tensor([2 * 3 / 5, 2 * 2 / 5]).log())


def test_what_no_site_tells_apart_is_not_adjusted() -> None:
    """Sites A and B have classes 0 and 1, C has 1 and 2, D has 3, E has 2; 2 and 3 meet where no site is named."""
    seen = {"A": [0, 1], "B": [0, 0, 0, 1], "C": [1, 2], "D": [3], "E": [2], "": [2, 3]}
    sites, labels = zip(*((site, label) for site, found in seen.items() for label in found), strict=True)
    found = site_adjustment(np.array(labels), None, sites, classes=5).tolist()
    apart, by_name = math.log(3e-6), dict(zip(sorted(seen), found, strict=True))
    even = math.log(3 / 2)
    assert by_name == {
        "": [0, 0, 0, 0, 0],
        "A": pytest.approx([even, even, apart, 0, 0], rel=1e-6),
        "B": pytest.approx([math.log(3 * 3 / 4), math.log(3 / 4), apart, 0, 0], rel=1e-6),
        "C": pytest.approx([apart, even, even, 0, 0], rel=1e-6),
        "D": [0, 0, 0, 0, 0],
        "E": pytest.approx([apart, apart, math.log(3), 0, 0], rel=1e-6),
    }


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
