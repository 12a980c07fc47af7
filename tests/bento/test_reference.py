import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from bento.artifact import Histogram, ReferenceDistributions, describe_images

RNG = np.random.default_rng(0)


def histogram(values: npt.NDArray[np.float64]) -> Histogram:
    return describe_images({"novelty": values}, {}).histograms["novelty"]


def test_bins_hold_about_the_same_number_of_images_each() -> None:
    made = histogram(RNG.lognormal(size=503))
    assert len(made.counts) == 10
    assert max(made.counts) - min(made.counts) <= 1


def test_few_images_have_few_bins() -> None:
    assert len(histogram(RNG.random(23)).counts) == 4
    assert len(histogram(RNG.random(3)).counts) == 2


def test_a_value_that_many_images_share_is_a_bin_of_its_own() -> None:
    made = histogram(np.repeat([0.8, 1.0, 1.25], [20, 60, 20]))
    assert made.counts[np.searchsorted(made.edges, 1.0, side="right")] == 60
    always = histogram(np.ones(50))
    assert always.counts == [0, 50, 0]
    assert [np.searchsorted(always.edges, value, side="right") for value in (0.999, 1.0, 1.001)] == [0, 1, 2]


def test_marked_images_are_counted() -> None:
    marks = {"flagged": np.array([True, False, True]), "novel": np.zeros(3, bool)}
    assert describe_images({"novelty": np.arange(3.0)}, marks).marked == {"flagged": 2, "novel": 0}


def test_no_image_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="images"):
        describe_images({}, {"flagged": np.zeros(0, bool)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"histograms": {"novelty": {"edges": [2, 1], "counts": [1, 1, 1]}}}, "not ascending"),
        ({"histograms": {"novelty": {"edges": [1, 2], "counts": [1, 2]}}}, "one count more"),
        ({"histograms": {"novelty": {"edges": [1], "counts": [1, 1]}}}, "not those of all images"),
        ({"histograms": {"novelty": {"edges": [1], "counts": [-1, 4]}}}, "greater than or equal to 0"),
        ({"marked": {"novel": 4}}, "more images are marked"),
        ({"images": 0}, "greater than or equal to 1"),
    ],
)
def test_counts_that_can_not_be_are_refused(change: dict[str, object], message: str) -> None:
    whole = {"images": 3, "histograms": {"novelty": {"edges": [1], "counts": [1, 2]}}, "marked": {"novel": 1}}
    ReferenceDistributions.model_validate(whole)
    with pytest.raises(ValidationError, match=message):
        ReferenceDistributions.model_validate(whole | change)
