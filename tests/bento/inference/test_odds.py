"""The score of an operating point is the share of its two classes' probability that the disease has."""

import numpy as np
import pytest

from bento.inference.odds import odds

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
