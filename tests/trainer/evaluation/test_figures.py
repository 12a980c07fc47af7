"""Figures have as many digits as their images carry."""

import pytest

from bento.artifact import Interval
from trainer.evaluation.figures import figure, figure_with_interval


@pytest.mark.parametrize(
    ("value", "images", "text"),
    [
        (0.8333, 6, "0.83"),
        (0.8333, 999, "0.83"),
        (0.8333, 1000, "0.833"),
        (0.0, 6, "0.00"),
        (1.0, 6, "1.00"),
        (0.004, 6, "< 0.01"),
        (0.996, 6, "> 0.99"),
        (0.996, 1000, "0.996"),
        (0.9996, 1000, "> 0.999"),
        (0.99, 6, "0.99"),
        (-0.004, 6, "> -0.01"),
        (-0.25, 6, "-0.25"),
        (1.002, 6, "1.00"),
        (7.1156, 18, "7.12"),
    ],
)
def test_a_figure_has_as_many_digits_as_its_images_carry(value: float, images: int, text: str) -> None:
    assert figure(value, images) == text


def test_an_interval_has_the_digits_of_its_metric() -> None:
    assert figure_with_interval(Interval(value=0.83333, low=0.41, high=0.9961), 6) == "0.83 (0.41 to > 0.99)"
