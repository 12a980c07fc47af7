"""Telling DICOM files by their first bytes, with and without preamble and file meta information."""

import random
import struct
from typing import Any

import pytest
from pydicom import uid

from bento.imaging.dicom.signature import first_element
from tests.support import pictures
from tests.support.dicom_reading import DEEP, IMAGE, WIDE, difference, refusal
from tests.support.dicoms import bare_dicom, dicom

WINDOW: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
BARE = {
    syntax.name: bare_dicom(IMAGE, syntax, **WINDOW)
    for syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)
}


@pytest.mark.parametrize("name", BARE)
def test_a_data_set_without_preamble_and_file_meta_information_is_read(name: str) -> None:
    assert BARE[name][:2] == b"\x08\x00"
    assert difference(BARE[name]) <= 1


@pytest.mark.parametrize("name", BARE)
def test_a_group_length_may_come_first_as_in_old_archives(name: str) -> None:
    length = b"\x08\x00\x00\x00" + (b"UL\x04\x00" if "Explicit" in name else b"\x04\x00\x00\x00") + bytes(4)
    assert difference(length + BARE[name]) <= 1


@pytest.mark.parametrize("missing", [128, 132])
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.JPEGLosslessSV1])
def test_a_file_that_lacks_its_preamble_alone_is_read(syntax: uid.UID, missing: int) -> None:
    assert difference(dicom(IMAGE, syntax, **WINDOW)[missing:]) <= 1


@pytest.mark.parametrize("name", BARE)
def test_file_meta_information_that_names_no_transfer_syntax_is_enough(name: str) -> None:
    assert difference(bytes(128) + b"DICM" + BARE[name]) <= 1
    assert (
        difference(
            b"\x02\x00\x00\x00UL\x04\x00\x0e\x00\x00\x00\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01" + BARE[name]
        )
        <= 1
    )


def test_what_came_before_dicom_lacks_elements_that_go_without_saying() -> None:
    old = bare_dicom(DEEP, uid.ImplicitVRLittleEndian, bits=12, without=["SamplesPerPixel"], **WIDE)
    assert difference(old) <= 1


@pytest.mark.parametrize("name", BARE)
def test_a_data_set_that_is_cut_off_is_damaged(name: str) -> None:
    assert refusal(BARE[name][:-200]).slug == "damaged-image"
    assert refusal(BARE[name][:400]).slug == "damaged-image"


def test_compressed_pixels_without_the_name_of_their_syntax_are_not_supported() -> None:
    whole = dicom(IMAGE, uid.JPEGLosslessSV1)
    meta_length = struct.unpack_from("<L", whole, 140)[0]
    assert refusal(whole[144 + meta_length :]).slug == "unsupported-dicom"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x08\x00", id="a group alone"),
        pytest.param(b"\x08\x00" + bytes(5000), id="zeros"),
        pytest.param(b"\x08\x00" + random.Random(0).randbytes(5000), id="random bytes"),
        pytest.param(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x08\x00\x01\x00CS\x02\x00AB", id="descending tags"),
        pytest.param(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x30\x00\x01\x00CS\x02\x00AB", id="another group"),
        pytest.param(b"\x08\x00\x05\x00CS\x0b\x00ISO_IR 1000\x08\x00\x08\x00CS\x02\x00AB", id="an odd length"),
        pytest.param(b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100\x00\x08\x00\x08CS\x00\x02AB", id="big endian"),
    ],
)
def test_what_makes_no_sense_as_dicom_is_none(data: bytes) -> None:
    assert first_element(data) is None
    assert refusal(data + bytes(2000) if data else b"text").slug == "not-an-image"


@pytest.mark.parametrize("name", [name for name in pictures.GOOD if "DICOM" not in name])
def test_no_jpeg_or_png_is_taken_for_dicom(name: str) -> None:
    assert first_element(pictures.GOOD[name]) is None
