"""A chest without disease has two lungs, a heart on the right of the picture, a belly and ribs."""

import numpy as np
import pytest
from scipy import ndimage

from trainer.data.sample.anatomy import Anatomy
from trainer.data.sample.chest import project
from trainer.data.sample.projection import View


@pytest.mark.parametrize("seed", range(5))
def test_lungs_are_two_heart_lies_to_the_right_of_the_picture_and_under_the_lungs_is_the_belly(
    seed: int,
) -> None:
    person = Anatomy.draw(np.random.default_rng(seed))
    chest = project(person, View(128))
    parts, number = ndimage.label(chest.lung > 1)
    sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, number + 1))
    assert (sizes > 500).sum() == 2
    left, right = chest.lung[:, :64].sum(), chest.lung[:, 64:].sum()
    assert right < left, "the heart takes room from the lung on the picture's right"
    belly = chest.attenuation[(np.abs(chest.x) < 8) & (chest.y > 13)]
    assert np.median(belly) > 1.3 * np.median(chest.attenuation[chest.lung > 8])


def test_ribs_cross_the_lung_as_regular_bright_bands() -> None:
    person = Anatomy.draw(np.random.default_rng(3))
    chest = project(person, View(512))
    column = int(View(512).to_pixels(-7.0, 0)[0])
    inside = chest.lung[:, column] > 8
    profile = chest.attenuation[inside, column]
    ripple = profile - ndimage.gaussian_filter1d(profile, 20)
    peaks = np.flatnonzero(np.diff(np.sign(np.diff(ripple))) < 0)
    assert len(peaks) >= 6
    assert ripple.std() > 0.03
