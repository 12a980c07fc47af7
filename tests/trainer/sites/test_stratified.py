"""Images drawn by score are weighed back to the folder: the estimate is right, and so is its interval."""

from pathlib import Path

import numpy as np
import pytest

from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.shares import share_interval
from trainer.sites.strata import draw, stratify
from trainer.sites.stratified import Sample, drawn_sample, images_by_stratum, stratified_rate

THRESHOLD = 0.3


class Draws:
    """Draws of 60 from folders of 1,500 images, a fifth of them with the disease, and rates by three estimators."""

    def __init__(self, draws: int) -> None:
        rng = np.random.default_rng(7)
        self.weighted, self.unweighted, self.held, self.truth = [], [], [], []
        for number in range(draws):
            ill = rng.random(1500) < 0.2
            scores = 1 / (1 + np.exp(-(rng.normal(size=1500) + 2.2 * ill - 1.8)))
            strata = stratify(scores, THRESHOLD, 60)
            rows = draw(strata, number)
            weights = (strata.images / strata.drawn)[strata.numbers[rows]]
            flagged = scores >= THRESHOLD
            rate = stratified_rate(~flagged[rows], ~ill[rows], strata.numbers[rows], weights)
            low, high = rate.limits()
            self.truth.append(float((~flagged)[~ill].mean()))
            self.weighted.append(rate.value)
            self.unweighted.append(float((~flagged[rows])[~ill[rows]].mean()))
            self.held.append(low <= self.truth[-1] <= high)


@pytest.fixture(scope="module")
def draws() -> Draws:
    return Draws(300)


def test_the_weighed_specificity_is_that_of_the_folder_and_the_plain_share_is_not(draws: Draws) -> None:
    error = np.array(draws.weighted) - draws.truth
    assert abs(error.mean()) < 3 * error.std() / np.sqrt(len(error)) + 0.003
    assert abs(np.mean(draws.unweighted) - np.mean(draws.truth)) > 0.03


def test_its_interval_holds_the_folders_value_in_19_of_20_draws(draws: Draws) -> None:
    assert np.mean(draws.held) > 0.93


def test_stratified_images_tell_more_than_as_many_drawn_without_regard_to_the_score(draws: Draws) -> None:
    plain = np.sqrt(np.mean(draws.truth) * (1 - np.mean(draws.truth)) / (60 * 0.8))
    assert np.std(np.array(draws.weighted) - draws.truth) < 0.7 * plain


def test_a_rate_of_one_is_worth_kishs_effective_size() -> None:
    counted = np.array([True, True, True, False])
    rate = stratified_rate(counted, counted, np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 10.0, 10.0]))
    assert (rate.value, rate.images) == (1, 3)
    assert rate.size == pytest.approx(12**2 / 102)


def test_images_that_were_not_drawn_by_stratum_have_the_interval_of_a_share() -> None:
    rng = np.random.default_rng(0)
    hits, patients = rng.random(40) < 0.8, [f"p{number // 2}" for number in range(40)]
    expected, rate = share_interval(hits, patients), Sample(patients).rate(hits, np.ones(40, bool))
    assert (rate.value, *rate.limits()) == (expected.value, expected.low, expected.high)


def radiograph(name: str, stratum: str) -> Radiograph:
    return Radiograph(Path(name), name, "NORMAL", columns={"stratum": stratum, "weight": "5"})


def test_images_without_a_label_leave_their_weight_to_the_others_of_their_stratum() -> None:
    sizes = images_by_stratum([("line 2", "A", "5"), ("line 3", "A", "5"), ("line 4", "B", "5")])
    assert sizes == {"A": 10, "B": 5}
    sample = drawn_sample([radiograph("1", "A"), radiograph("3", "B")], sizes)
    assert sample.weights is not None
    assert sample.weights.tolist() == [10, 5]


def test_a_stratum_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(UserError, match="stratum B: none of its images has a label"):
        drawn_sample([radiograph("1", "A")], {"A": 10, "B": 5})


@pytest.mark.parametrize(("stratum", "weight"), [("", "5"), ("A", ""), ("A", "many"), ("A", "-1"), ("A", "inf")])
def test_a_row_without_its_stratum_or_weight_is_refused_by_its_line(stratum: str, weight: str) -> None:
    with pytest.raises(UserError, match=r"line 3: .*needs a stratum and a weight above 0"):
        images_by_stratum([("line 2", "A", "5"), ("line 3", stratum, weight)])


def test_with_equal_weights_a_threshold_stands_as_among_images_as_they_come() -> None:
    hits, ill = np.arange(40) >= 10, np.arange(40) % 2 == 1
    sample = Sample([str(number) for number in range(40)], np.zeros(40, int), np.full(40, 3.0))
    lowest = sample.standing(np.ones(40, bool), ill)
    assert lowest == pytest.approx((20, 1))
    assert sample.standing(hits, ill).patients <= 20


def test_the_heavier_the_images_below_a_threshold_the_less_is_known_of_it() -> None:
    hits = np.arange(40) >= 10
    patients = [
        Sample(list("p" * 40), np.where(hits, 0, 1), np.where(hits, 1.0, weight)).standing(hits, hits).patients
        for weight in (1.0, 3.0, 10.0)
    ]
    assert patients == pytest.approx([30, 10, 3])
