"""From stored values to greys: rescaling, windows, lookup tables, inversion, padding."""

from typing import Any

import numpy as np
import pytest
from pydicom import uid

from tests.support.dicom_reading import DEEP, IMAGE, WIDE, difference, shown, warned
from tests.support.dicoms import dicom, lookup_table


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLosslessSV1],
    ids=lambda syntax: syntax.name,
)
def test_signed_values_are_rescaled_before_they_are_windowed(syntax: uid.UID) -> None:
    signed = DEEP.astype(np.int16) - 2048
    window: dict[str, Any] = {
        "RescaleSlope": 2,
        "RescaleIntercept": 100,
        "WindowCenter": 100,
        "WindowWidth": 8192,
    }
    bits = 16 if syntax == uid.RLELossless else 12
    expected = (2 * signed.astype(float) + 100 - 99.5) / 8191 + 0.5
    assert difference(dicom(signed, syntax, bits=bits, **window), np.rint(255 * expected.clip(0, 1))) <= 1


def test_without_a_window_the_images_own_range_is_shown() -> None:
    own = (DEEP - DEEP.min()) / np.ptp(DEEP)
    assert difference(dicom(DEEP, bits=12), np.rint(255 * own)) == 0
    assert not shown(dicom(np.full_like(DEEP, 700))).any()


@pytest.mark.parametrize(
    ("elements", "is_inverse"),
    [
        ({}, False),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
    ],
)
def test_low_values_are_white_where_the_header_says_so(elements: dict[str, Any], is_inverse: bool) -> None:
    expected = 255 - IMAGE if is_inverse else IMAGE
    assert difference(dicom(DEEP, bits=12, **WIDE, **elements), expected) <= 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", lambda x: (x - 1999.5) / 999 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 2000) / 1000 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1000))),
    ],
)
def test_the_first_window_counts_and_has_a_function(function: str, expected: Any) -> None:
    data = dicom(DEEP, bits=12, WindowCenter=[2000, 9], WindowWidth=[1000, 9], VOILUTFunction=function)
    fractions = expected(DEEP.astype(float)).clip(0, 1)
    assert difference(data, np.rint(255 * fractions)) <= 1


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
@pytest.mark.parametrize("packed", [True, False])
def test_lookup_tables_go_before_windows(syntax: uid.UID, packed: bool) -> None:
    modality = lookup_table([4095 - i for i in range(4096)], 0, 16, packed=packed)
    voi = lookup_table([i**2 // 4096 for i in range(4096)], 0, 12, packed=packed)
    data = dicom(DEEP, syntax, bits=12, ModalityLUTSequence=modality, VOILUTSequence=voi, **WIDE)
    squared = ((4095 - DEEP.astype(float)) ** 2 / 4096).astype(int)
    assert difference(data, np.rint(255 * squared / 4094)) <= 1


def test_a_lookup_table_may_begin_anywhere_and_holds_its_ends() -> None:
    voi = lookup_table([0, *range(8), 255], 100, 8)
    assert set(np.unique(shown(dicom(IMAGE, VOILUTSequence=voi)))) <= {*range(8), 255}


def test_padding_is_black_and_does_not_count() -> None:
    padded = DEEP.copy()
    padded[:20] = 60000
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        radiograph = shown(dicom(padded, PixelPaddingValue=60000, PhotometricInterpretation=kind))
        assert not radiograph[:20].any()
        assert radiograph[20:].min() == 0
        assert radiograph[20:].max() == 255


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 60000, "WindowWidth": 10},
        {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "ODD"},
    ],
)
def test_a_window_that_shows_nothing_is_left_out_with_a_warning(window: dict[str, Any]) -> None:
    data = dicom(DEEP, bits=12, **window)
    np.testing.assert_array_equal(shown(data), shown(dicom(DEEP, bits=12)))
    assert "window leaves nothing" in warned(data)
