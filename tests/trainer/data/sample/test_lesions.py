"""Disease lies where it belongs, in the lungs of those who have it, and can be seen."""

import numpy as np
import pytest
from scipy import stats

from trainer.data.sample import LABELS, Radiograph, generate, lesions
from trainer.data.sample.anatomy import Anatomy
from trainer.data.sample.chest import project
from trainer.data.sample.projection import View

SIZE = 64


@pytest.fixture(scope="module")
def radiographs() -> list[Radiograph]:
    return list(generate(240, SIZE, 3, seed=11))


def test_normal_images_have_no_lesion_and_the_others_have_one(radiographs: list[Radiograph]) -> None:
    for radiograph in radiographs:
        assert radiograph.lesion.any() == (radiograph.label != "NORMAL"), radiograph.name


def test_lesions_lie_in_the_lungs_and_add_attenuation_there() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        person, label = Anatomy.draw(rng), LABELS[1 + seed % 2]
        view = View(128, angle=0.05, dx=0.5)
        chest = project(person, view)
        attenuation, mask = lesions.affect(chest, lesions.draw(label, person, rng), view)
        added = attenuation - chest.attenuation
        assert (chest.lung[mask] > 1).all()
        assert added[mask].mean() > 0.01
        assert added[mask].mean() > 5 * np.abs(added[~mask]).mean()


def test_tuberculosis_prefers_the_upper_zones_and_pneumonia_the_lower(radiographs: list[Radiograph]) -> None:
    heights: dict[str, list[float]] = {label: [] for label in LABELS}
    for radiograph in radiographs:
        if radiograph.lesion.any():
            heights[radiograph.label].append(float(np.nonzero(radiograph.lesion)[0].mean() / SIZE))
    middle = 0.42  # of the image: about where the vessels leave the heart
    assert np.mean(np.array(heights["TUBERCULOSIS"]) < middle) > 0.8
    assert np.mean(np.array(heights["PNEUMONIA"]) > middle) > 0.7
    assert np.mean(np.array(heights["PNEUMONIA"]) < middle) > 0.03, "some pneumonias lie above: place is not all"


def test_lesions_are_brighter_than_the_same_place_in_the_other_lung(radiographs: list[Radiograph]) -> None:
    by_label: dict[str, list[float]] = {"PNEUMONIA": [], "TUBERCULOSIS": []}
    for radiograph in radiographs:
        mirror = radiograph.lesion[:, ::-1] & ~radiograph.lesion
        if radiograph.lesion.sum() > 20 and mirror.sum() > 20:
            by_label[radiograph.label].append(
                float(radiograph.pixels[radiograph.lesion].mean() - radiograph.pixels[mirror].mean())
            )
    for label, differences in by_label.items():
        assert stats.ttest_1samp(differences, 0, alternative="greater").pvalue < 1e-3, label


def test_a_cavity_is_a_ring_with_a_dark_centre() -> None:
    person = Anatomy.draw(np.random.default_rng(0))
    at = person.lung_point(-1, 0.5, 0.4)
    focus = lesions.Focus("cavity", at, (2.0, 2.0), 0.0, 1.0, wall=0.5)
    view = View(256)
    chest = project(person, view)
    attenuation, mask = lesions.affect(chest, lesions.Disease((focus,), 1.0, 0.0, 0), view)
    added = attenuation - chest.attenuation
    distance = np.hypot(chest.x - at[0], chest.y - at[1])
    assert added[(distance > 1.4) & (distance < 1.7)].mean() > 2 * added[distance < 0.8].mean()
    assert mask[distance < 0.8].all()
