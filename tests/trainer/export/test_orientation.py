"""Orientation: the thresholds."""

import numpy as np
import pytest

from bento.artifact import ORIENTATIONS
from trainer.export.orientation import orientation_points


def test_an_orientations_threshold_spares_untouched_images() -> None:
    untouched = np.zeros((1000, len(ORIENTATIONS)))
    untouched[:, 1] = np.arange(1000) / 1000
    turned = np.zeros((10, len(ORIENTATIONS)))
    turned[:5, 1] = 1
    (point,) = orientation_points(untouched, {"inverted": turned})
    assert point.validation_false_alarms <= 0.005
    assert point.threshold == pytest.approx(0.9941)
    assert point.validation_recall == 0.5
    (point,) = orientation_points(np.zeros((3, len(ORIENTATIONS))), {"inverted": turned})
    assert point.threshold == 0.5
