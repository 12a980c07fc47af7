"""Shortcut controls fire where class and hospital go together, and stay quiet where they do not."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.support.judged import judged
from trainer.data.duplicates import thumbnail
from trainer.data.sample import LABELS, generate
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.confounding import Association, association
from trainer.evaluation.shortcut_controls import (
    CONTROLS,
    Control,
    border_pixels,
    chance_macro_f1,
    judge_controls,
    linear_predictions,
    occluded,
    pooled,
    shuffled_predictions,
)

IMAGES, TRAIN, SIZE = 420, 260, 48


@dataclass(frozen=True)
class Tried:
    """A small real classifier and the linear controls beside it, on generated images."""

    controls: dict[str, Control]
    association: Association


def try_controls(confounded: bool) -> Tried:
    radiographs = list(generate(IMAGES, SIZE, 3, 2, confounded))
    classes = sorted(LABELS)
    truth = np.array([classes.index(radiograph.label) for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])
    train = np.arange(IMAGES) < TRAIN
    test = ~train & ~np.isin(patients, patients[train])
    small = np.stack([thumbnail(Image.fromarray(radiograph.pixels)) for radiograph in radiographs])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(pooled(small[train], 16), truth[train])
    one = JudgedImages(classes, truth[test], model.predict_proba(pooled(small[test], 16)), patients[test].tolist())
    sites = [radiograph.site for radiograph in radiographs]
    found = association([radiograph.label for radiograph in radiographs], sites, patients.tolist())
    assert found is not None
    controls = judge_controls(
        one,
        [site for site, kept in zip(sites, test, strict=True) if kept],
        {
            "thumbnail": linear_predictions(pooled(small[train], 8), truth[train], pooled(small[test], 8)),
            "border": linear_predictions(border_pixels(small[train]), truth[train], border_pixels(small[test])),
            "shuffled": shuffled_predictions(pooled(small[train], 8), truth[train], pooled(small[test], 8)),
        },
    )
    keys = ("thumbnail", "border", "shuffled")
    return Tried(dict(zip(keys, controls, strict=True)), found)


@pytest.fixture(scope="module")
def together() -> Tried:
    return try_controls(confounded=True)


@pytest.fixture(scope="module")
def apart() -> Tried:
    return try_controls(confounded=False)


def test_controls_fire_where_class_and_hospital_go_together(together: Tried) -> None:
    assert together.association.together
    border = together.controls["border"]
    assert border.fired
    assert "much of the model's score needs no lungs" in border.text
    assert f"reaches {border.macro_f1.value:.2f} (" in border.text
    assert set(border.by_site) <= {"hospital-a", "hospital-b", "hospital-c"}


def test_controls_stay_quiet_where_they_do_not(apart: Tried) -> None:
    assert not apart.association.together
    assert not apart.controls["border"].fired
    assert "that many can't tell how much of the score needs no lungs" in apart.controls["border"].text


def test_shuffled_labels_teach_nothing(together: Tried, apart: Tried) -> None:
    assert not together.controls["shuffled"].fired
    assert not apart.controls["shuffled"].fired


@pytest.mark.parametrize(
    ("key", "good", "fired"),
    [
        pytest.param("border", True, True, id="a border as good as the model"),
        pytest.param("border", False, False, id="a border at chance"),
        pytest.param("lungs_blacked_out", True, True, id="a model that needs no lungs"),
        pytest.param("lungs_only", True, False, id="a model that needs nothing but lungs"),
        pytest.param("lungs_only", False, True, id="a model that is lost with nothing but lungs"),
        pytest.param("shuffled", True, True, id="something learnt from labels without meaning"),
    ],
)
def test_each_control_fires_for_its_own_reason(key: str, good: bool, fired: bool) -> None:
    one = judged(400)
    guesses = one.probabilities.argmax(axis=1)
    predicted = guesses if good else np.random.default_rng(0).permutation(guesses)
    (control,) = judge_controls(one, ["x"] * 400, {key: predicted})
    assert control.fired is fired
    assert control.text.endswith(CONTROLS[key][1][fired])
    assert control.share == pytest.approx(1.0 if good else 0.0, abs=0.15)


@pytest.mark.parametrize("key", ["border", "lungs_only", "shuffled"])
def test_a_few_images_raise_no_alarm_and_give_no_comfort(key: str) -> None:
    few = judged(13)
    (control,) = judge_controls(few, ["x"] * 13, {key: few.probabilities.argmax(axis=1)})
    assert not control.fired
    assert "on 13 test images" in control.text


def test_chance_is_what_guessing_gets() -> None:
    assert chance_macro_f1(judged(600)) == pytest.approx(1 / 3, abs=0.03)


def test_both_halves_of_an_occluded_image_make_the_image() -> None:
    image = np.random.default_rng(0).integers(1, 256, (64, 64), np.uint8)
    border, lungs = occluded(image)
    np.testing.assert_array_equal(border + lungs, image)
    assert (border[8:56, 8:56] == 0).all()
    assert (lungs[:8] == 0).all()
    assert lungs[8, 8] == image[8, 8]


def test_the_border_classifier_sees_nothing_of_the_central_region() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    border, _ = occluded(image)

    def ring(radiograph: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
        return border_pixels(thumbnail(Image.fromarray(radiograph))[None])

    assert ring(image).shape == (1, 28)
    np.testing.assert_array_equal(ring(image), ring(border))
