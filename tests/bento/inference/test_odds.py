"""The score of an operating point is the share of its two classes' probability that the disease has."""

import numpy as np
import pytest

from bento.inference.odds import logit, odds, probability_at_site
from tests.support.artifacts import make_site

CLASSES = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("NORMAL", [0.3 / 0.4, 0.2 / 1.0, 0.0]),
        (None, [0.3, 0.2, 0.0]),  # formats 1 to 4: the probability itself
    ],
)
def test_a_third_class_takes_nothing_from_the_odds(reference: str | None, expected: list[float]) -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.8, 0.0, 0.2], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(odds(probabilities, CLASSES, "TUBERCULOSIS", reference), expected)


@pytest.mark.parametrize(("score", "known"), [(0.0, 1e-6), (1.0, 1 - 1e-6), (0.25, 0.25)])
def test_a_logit_has_an_end(score: float, known: float) -> None:
    assert logit(score) == pytest.approx(np.log(known / (1 - known)))


def test_a_probability_at_the_site_is_by_bayes_rule_of_its_prevalence() -> None:
    (fit,) = make_site("", prevalence=0.02).recalibration
    among_the_sample = 1 / (1 + np.exp(-(fit.slope * logit(0.7) + fit.offset)))
    ratio = among_the_sample / (1 - among_the_sample) / (fit.sample_share / (1 - fit.sample_share))
    expected = ratio * 0.02 / (ratio * 0.02 + 0.98)
    assert probability_at_site(0.7, fit) == pytest.approx(expected)
