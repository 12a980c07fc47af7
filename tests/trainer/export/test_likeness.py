"""Likeness: the subspace of the training images' layouts, found wherever it lies."""

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, pad

from trainer.export.likeness import Novelty, cells
from trainer.types import Array

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


@pytest.mark.parametrize("side", [1, 2, 4, 7, 8, 14, 24])
def test_cells_are_means_as_by_adaptive_pooling(side: int) -> None:
    x = random(2, 3, side, side + 1)
    torch.testing.assert_close(cells(x), adaptive_avg_pool2d(x, 7), rtol=1e-4, atol=1e-5)


def layouts(count: int = 60, noise: float = 0.5) -> torch.Tensor:
    """Cells that share a layout in the middle."""
    layout = pad(torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(1)), (1, 1, 1, 1))
    return layout + noise * random(count, 4, 7, 7)


def names(count: int) -> Array:
    return np.array(["A"] * count)


def test_a_typical_image_scores_one_and_another_layout_more() -> None:
    training = layouts()
    novelty = Novelty.fit(training, names(60))
    novelty.measure_by(layouts())
    own = novelty(layouts())
    assert own.median().item() == pytest.approx(1, abs=0.1)
    assert novelty(random(60, 4, 7, 7)).min() > 1.5 * own.max()
    assert (
        novelty(training.flip(3)).min() > 1.5 * own.max()
    )  # what a lateral view is to a frontal one: laid out otherwise


def test_brightness_contrast_and_place_do_not_matter() -> None:
    novelty = Novelty.fit(layouts(), names(60))
    plain = layouts(20)
    torch.testing.assert_close(novelty(3 * plain + 2 * novelty.spread), novelty(plain), rtol=0.05, atol=0.05)
    moved = torch.roll(plain, (1, -1), dims=(2, 3))
    torch.testing.assert_close(novelty(moved), novelty(plain), rtol=0.05, atol=0.1)


def test_groups_weigh_the_same_whatever_their_size() -> None:
    many, few = layouts(90, 0.1), torch.roll(layouts(10, 0.1), 2, dims=3)
    groups = np.array(["many"] * 90 + ["few"] * 10)
    novelty = Novelty.fit(torch.cat([many, few]), groups)
    even = Novelty.fit(torch.cat([many, few]), names(100))
    assert novelty(few).mean() / novelty(many).mean() < even(few).mean() / even(many).mean()


@pytest.mark.parametrize(
    "training",
    [
        pytest.param(torch.zeros(1, 3, 7, 7), id="one image without contrast"),
        pytest.param(torch.ones(20, 3, 7, 7), id="images that are all the same"),
        pytest.param(random(2, 40, 7, 7), id="two images"),
    ],
)
def test_a_score_is_finite_whatever_it_is_fitted_to(training: torch.Tensor) -> None:
    novelty = Novelty.fit(training, names(len(training)))
    for images in (training, training + 1000, random(5, training.shape[1], 7, 7)):
        assert torch.isfinite(novelty(images)).all()
