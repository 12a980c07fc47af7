"""Pixels that are not square, and images that are stored turned or mirrored."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bento.imaging.intake import read_radiograph
from tests.support.dicom_reading import IMAGE, shown, warned
from tests.support.dicoms import dicom

WINDOW: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
LOW = IMAGE[::2]
"""Half of the rows: pixels twice as high as wide."""
NARROW = IMAGE[:, ::2]
LATERAL = "this is a lateral view"
TURNED = "it was turned upright"


@pytest.mark.parametrize(
    ("stored", "elements"),
    [
        (LOW, {"PixelAspectRatio": [2, 1]}),
        (NARROW, {"PixelAspectRatio": [1, 2]}),
        (LOW, {"PixelSpacing": [0.4, 0.2]}),
        (NARROW, {"ImagerPixelSpacing": [0.143, 0.286]}),
        (LOW, {"NominalScannedPixelSpacing": [0.35, 0.175]}),
        (LOW, {"PixelAspectRatio": [4, 2], "PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.15]}),
    ],
)
def test_pixels_that_are_not_square_become_so_at_the_finer_resolution(
    stored: npt.NDArray[np.uint8], elements: dict[str, Any]
) -> None:
    data = dicom(stored, **WINDOW, **elements)
    assert shown(data).shape == IMAGE.shape
    assert np.abs(shown(data) - IMAGE).mean() < 3
    assert not warned(data)


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelAspectRatio": [1, 1]},
        {"PixelSpacing": [0.194, 0.1939]},
        {"PixelSpacing": [0, 0]},
        {"PixelSpacing": [-0.2, 0.1]},
        {"PixelSpacing": [0.2]},
        {"PixelAspectRatio": ""},
    ],
)
def test_square_pixels_and_sizes_that_say_nothing_change_nothing(elements: dict[str, Any]) -> None:
    data = dicom(IMAGE, **WINDOW, **elements)
    np.testing.assert_array_equal(shown(data), shown(dicom(IMAGE, **WINDOW)))
    assert not warned(data)


def test_shapes_of_pixels_that_differ_are_a_warning_and_the_ratio_counts() -> None:
    data = dicom(LOW, **WINDOW, PixelAspectRatio=[2, 1], PixelSpacing=[0.2, 0.2])
    assert shown(data).shape == IMAGE.shape
    assert "in several ways" in warned(data)


def test_a_shape_that_no_detector_has_is_a_warning() -> None:
    data = dicom(IMAGE, **WINDOW, PixelAspectRatio=[1000, 1])
    assert shown(data).shape == IMAGE.shape
    assert "no detector has" in warned(data)


def test_square_pixels_are_never_more_than_the_cap() -> None:
    data = dicom(LOW, **WINDOW, PixelAspectRatio=[2, 1])
    image = read_radiograph(data, 32, max_pixels=LOW.size).radiograph
    assert image.width * image.height <= 1.02 * LOW.size
    assert image.width / image.height == pytest.approx(120 / 90, rel=0.02)


@pytest.mark.parametrize(
    ("directions", "stored"),
    [
        (["R", "F"], np.fliplr(IMAGE)),
        (["L", "H"], np.flipud(IMAGE)),
        (["R", "H"], np.rot90(IMAGE, 2)),
        (["F", "L"], IMAGE.T),
        (["H", "R"], np.rot90(IMAGE, 2).T),
        (["F", "R"], np.rot90(IMAGE)),
        (["H", "L"], np.rot90(IMAGE, -1)),
        (["RH", "FR"], np.fliplr(IMAGE)),
        (["r", "f"], np.fliplr(IMAGE)),
    ],
)
def test_an_image_that_is_stored_turned_or_mirrored_is_shown_upright_with_a_warning(
    directions: list[str], stored: npt.NDArray[np.uint8]
) -> None:
    data = dicom(np.ascontiguousarray(stored), **WINDOW, PatientOrientation=directions)
    assert np.abs(shown(data) - IMAGE).max() <= 1
    assert TURNED in warned(data)


@pytest.mark.parametrize("directions", [["L", "F"], ["LH", "FL"], ["l", "f"], "", None])
def test_an_upright_image_or_one_without_orientation_stays_as_it_is(directions: Any) -> None:
    data = dicom(IMAGE, **WINDOW, PatientOrientation=directions)
    np.testing.assert_array_equal(shown(data), shown(dicom(IMAGE, **WINDOW)))
    assert not warned(data)


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"PatientOrientation": ["P", "F"]}, LATERAL),
        ({"PatientOrientation": ["A", "F"]}, LATERAL),
        ({"PatientOrientation": ["P", "F"], "ViewPosition": "RL"}, LATERAL),
        ({"PatientOrientation": ["L", "R"]}, "not understood"),
        ({"PatientOrientation": ["X", "F"]}, "not understood"),
        ({"PatientOrientation": ["L"]}, "not understood"),
        ({"PatientOrientation": ["L", "F", "F"]}, "not understood"),
        ({"ImageLaterality": "L"}, "one side"),
        ({"Laterality": "R"}, "one side"),
        ({"ImageLaterality": "B"}, ""),
        ({"ImageLaterality": "U"}, ""),
    ],
)
def test_what_is_unusual_is_a_warning_and_the_image_is_left_as_stored(elements: dict[str, Any], says: str) -> None:
    data = dicom(IMAGE, **WINDOW, **elements)
    assert np.abs(shown(data) - IMAGE).max() <= 1
    assert says in warned(data)
    assert warned(data).count(".") == bool(says)


def test_pixels_are_made_square_before_the_image_is_turned() -> None:
    stored = np.asarray(Image.fromarray(IMAGE).transpose(Image.Transpose.ROTATE_90))[::2]
    data = dicom(stored, **WINDOW, PatientOrientation=["F", "R"], PixelAspectRatio=[2, 1])
    assert np.abs(shown(data) - IMAGE).mean() < 3
