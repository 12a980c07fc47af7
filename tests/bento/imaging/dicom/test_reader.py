"""Reading a DICOM file as a whole: what is shown, what is refused, what is warned of."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from bento.imaging.errors import ImageError
from bento.imaging.intake import load_array, read_radiograph
from bento.imaging.preprocessing import Preprocessing
from tests.support.dicom_reading import DEEP, IMAGE, WIDE, difference, refusal, shown, warned
from tests.support.dicoms import LOSSLESS, SECRET, dicom, lookup_table
from tests.support.server import ROOT

REAL_FILES = ROOT.parent / "shared" / "data" / "dicom"


def test_of_several_frames_the_first_counts() -> None:
    frames = np.stack([DEEP, 4095 - DEEP, DEEP // 2])
    for syntax in LOSSLESS:
        data = dicom(frames, syntax, bits=12, NumberOfFrames=3, **WIDE)
        assert difference(data) <= 1
        assert "only the first" in warned(data)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(("stored", "high"), [(12, 15), (12, 13), (10, 15), (13, 12), (15, 14), (9, 12)])
def test_values_lie_where_the_header_says(syntax: uid.UID, stored: int, high: int) -> None:
    values = (IMAGE.astype(np.uint16) << (stored - 8)) | 1
    pixels = values << (high + 1 - stored)
    window: dict[str, Any] = {"WindowCenter": 2 ** (stored - 1), "WindowWidth": 2**stored}
    data = dicom(pixels, syntax, bits=16, BitsStored=stored, HighBit=high, **window)
    assert difference(data) <= 1
    assert not warned(data)


def test_signed_values_keep_their_sign_where_the_high_bit_is_unusual() -> None:
    values = DEEP.astype(np.int16) - 2048
    data = dicom(values << 4, bits=16, BitsStored=12, HighBit=15, WindowCenter=0, WindowWidth=4096)
    assert difference(data) <= 1


@pytest.mark.parametrize(
    ("pixels", "elements", "says"),
    [
        pytest.param(DEEP | 1, {"BitsStored": 12, "HighBit": 15}, "HighBit", id="values lie lower than it says"),
        pytest.param(DEEP, {"BitsStored": 12, "HighBit": 7}, "HighBit", id="fewer bits than are stored"),
        pytest.param(DEEP, {"BitsStored": 12, "HighBit": 40}, "HighBit", id="more bits than are allocated"),
    ],
)
def test_a_high_bit_that_does_not_fit_is_a_warning_and_does_not_count(
    pixels: Any, elements: dict[str, Any], says: str
) -> None:
    data = dicom(pixels, bits=16, **elements, **WIDE)
    assert difference(data) <= 1
    assert says in warned(data)


def test_values_beyond_the_bits_that_are_stored_are_a_warning() -> None:
    overlay = DEEP.copy()
    overlay[20:40, 20:40] |= 1 << 14  # old files keep drawings in the bits that are free
    data = dicom(overlay, bits=16, BitsStored=12, HighBit=11, **WIDE)
    assert difference(data) <= 1
    assert "do not fit" in warned(data)
    assert not warned(dicom(DEEP, bits=16, BitsStored=12, HighBit=11, **WIDE))


def test_an_image_that_does_not_say_what_is_white_has_a_warning() -> None:
    data = dicom(DEEP, bits=12, PhotometricInterpretation="", **WIDE)
    assert difference(data) <= 1
    assert "does not say whether high values are white" in warned(data)


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_become_grey(planar: int) -> None:
    colours = np.stack([IMAGE, np.roll(IMAGE, 9, 1), IMAGE[::-1]], -1)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    stored = colours if planar == 0 else np.moveaxis(colours, -1, 0)
    data = dicom(colours, stream=stored.tobytes(), PlanarConfiguration=planar)
    assert difference(data, expected) == 0
    for syntax in (uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        assert difference(dicom(colours, syntax), expected) == 0
    luma = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    assert difference(dicom(luma, PhotometricInterpretation="YBR_FULL"), expected) <= 1


def test_a_png_of_an_image_is_the_same_input(tmp_path: Path) -> None:
    data = dicom(DEEP, uid.JPEGLosslessSV1, bits=12, **WIDE)
    file = tmp_path / "image.png"
    read_radiograph(data, 32).radiograph.save(file)
    for spec in (
        Preprocessing(image_size=64),
        Preprocessing(image_size=64, crop="anatomy", contrast="clahe"),
    ):
        np.testing.assert_array_equal(load_array(data, spec), load_array(file, spec))


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"Modality": "CT"}, "modality is CT"),
        ({"Modality": "MR"}, "modality is MR"),
        ({"Modality": SECRET.upper()[:16]}, "modality is another one"),
        ({"BodyPartExamined": "HAND"}, "HAND"),
        ({"BodyPartExamined": "LSPINE"}, "LSPINE"),
        ({"BodyPartExamined": f"SKULL {SECRET}"[:16].upper()}, "SKULL, not the chest"),
    ],
)
def test_what_is_plainly_no_chest_image_is_refused(elements: dict[str, Any], says: str) -> None:
    error = refusal(dicom(IMAGE, **elements))
    assert error.slug == "not-a-chest-image"
    assert says in str(error)
    assert SECRET.upper() not in str(error)


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"Modality": "CR", "BodyPartExamined": ""}, ""),
        ({"Modality": "XR", "BodyPartExamined": "PORT CHEST"}, ""),
        ({"BodyPartExamined": "THORAX"}, ""),
        ({"BodyPartExamined": "LUNG/ABDOMEN"}, ""),
        ({"Modality": ""}, "does not say that this is a radiograph"),
        ({"Modality": "OT"}, "does not say that this is a radiograph"),
        ({"BodyPartExamined": "WHATEVER"}, "not known to be the chest"),
        ({"ViewPosition": "LL"}, "lateral"),
        ({"PresentationIntentType": "FOR PRESENTATION"}, ""),
        ({"PresentationIntentType": "FOR PROCESSING"}, "raw values"),
    ],
)
def test_what_is_not_plain_is_a_warning(elements: dict[str, Any], says: str) -> None:
    sentences = warned(dicom(IMAGE, **elements))
    assert says in sentences
    assert bool(says) == bool(sentences)


def test_nothing_of_it_is_loaded_before_the_first_dicom_file() -> None:
    script = "import sys, bento.imaging.intake; print({'pydicom', 'imagecodecs'} & sys.modules.keys())"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_no_change_of_bytes_makes_another_error() -> None:
    choose = random.Random(0)
    radiographs = [dicom(DEEP, syntax, bits=12, **WIDE) for syntax in [*LOSSLESS, uid.JPEG2000]]
    radiographs.append(dicom(IMAGE, uid.JPEGBaseline8Bit))
    radiographs.append(dicom(DEEP, VOILUTSequence=lookup_table(range(4096), 0, 12, packed=True)))
    for _ in range(600):
        data = bytearray(choose.choice(radiographs))
        for _ in range(choose.choice((1, 2, 8))):
            at = choose.randrange(132, len(data) if choose.random() < 0.3 else 1200)
            match choose.randrange(4):
                case 0:
                    data[at] ^= 1 << choose.randrange(8)
                case 1:
                    data[at : at + 4] = choose.choice((b"\xff\xff\xff\xff", bytes(4), b"\xfe\xff\x00\xe0"))
                case 2:
                    del data[at : at + choose.randrange(40)]
                case _:
                    data[at:at] = data[at : at + choose.randrange(40)]
        with contextlib.suppress(ImageError):
            read_radiograph(bytes(data), 32)


@pytest.mark.skipif(not REAL_FILES.is_dir(), reason="no real DICOM files beside the project")
def test_real_images() -> None:
    assert refusal((REAL_FILES / "CT_small.dcm").read_bytes()).slug == "not-a-chest-image"
    for name, size in (("Fake_MONOHR1.dcm", (1024, 1024)), ("RG1_J2KI.dcm", (1955, 1841))):
        radiograph = shown((REAL_FILES / name).read_bytes())
        assert radiograph.shape == size
        assert np.ptp(radiograph) > 200
    # White means bone: the lungs are darker than what lies between them.
    assert radiograph[600:900, 300:500].mean() + 20 < radiograph[600:900, 850:950].mean()
