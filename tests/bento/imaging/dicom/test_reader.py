"""DICOM intake: what is shown, what is refused, and what must not come out."""

import contextlib
import io
import logging
import random
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file

from bento.imaging.errors import ImageError
from bento.imaging.intake import load_array, open_image, take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support import pictures
from tests.support.dicoms import LOSSLESS, LOSSY, SECRET, compressed, dicom, lookup_table
from tests.support.server import ROOT

IMAGE = pictures.radiograph()
DEEP = IMAGE.astype(np.uint16) * 16
"""The same in 12 bits."""
WIDE: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
"""The window of all of them."""
FOUND = ROOT.parent / "shared" / "data" / "dicom"
PRIVATE_SEQUENCE = b"\x09\x00\x02\x10SQ\x00\x00\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"


def shown(data: bytes) -> npt.NDArray[np.int64]:
    """The image's greys."""
    image = open_image(data)
    assert (image.mode, image.format) == ("L", "DICOM")
    return np.asarray(image).astype(np.int64)


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        open_image(data)
    assert SECRET not in str(caught.value)
    return caught.value


def doubts(data: bytes) -> str:
    return " ".join(one.text for one in take_in(data, Preprocessing(image_size=32)).warnings if one.kind == "dicom")


def difference(data: bytes, expected: npt.NDArray[Any] = IMAGE) -> int:
    return int(np.abs(shown(data) - expected).max())


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_every_lossless_transfer_syntax_gives_the_same_image(syntax: uid.UID, bits: int) -> None:
    pixels = IMAGE if bits == 8 else (IMAGE.astype(np.uint16) << (bits - 8))
    window: dict[str, Any] = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    assert difference(dicom(pixels, syntax, bits=bits, **window)) <= 1


@pytest.mark.parametrize("syntax", sorted(LOSSY), ids=lambda syntax: syntax.name)
def test_every_lossy_transfer_syntax_gives_nearly_the_same_image(syntax: uid.UID) -> None:
    assert difference(dicom(IMAGE, syntax, WindowCenter=128, WindowWidth=256)) <= 4
    if syntax != uid.JPEGBaseline8Bit:
        assert difference(dicom(DEEP, syntax, bits=12, **WIDE)) <= 4


@pytest.mark.parametrize("syntax", [*LOSSLESS, uid.JPEGBaseline8Bit], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
def test_no_size_is_odd(syntax: uid.UID, size: tuple[int, int]) -> None:
    assert shown(dicom(IMAGE[: size[0], : size[1]], syntax)).shape == size


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
    assert "window leaves nothing" in doubts(data)


def test_of_several_frames_the_first_counts() -> None:
    frames = np.stack([DEEP, 4095 - DEEP, DEEP // 2])
    for syntax in LOSSLESS:
        data = dicom(frames, syntax, bits=12, NumberOfFrames=3, **WIDE)
        assert difference(data) <= 1
        assert "only the first" in doubts(data)


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
    open_image(data).save(file)
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
    found = doubts(dicom(IMAGE, **elements))
    assert says in found
    assert bool(says) == bool(found)


def test_missing_elements_are_a_warning_or_damage() -> None:
    assert not doubts(dicom(IMAGE, without=["BodyPartExamined"]))
    assert doubts(dicom(IMAGE, without=["Modality"]))
    for keyword in ("Rows", "Columns", "BitsAllocated", "PixelData", "PixelRepresentation"):
        assert refusal(dicom(IMAGE, without=[keyword])).slug == "damaged-image"


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (dicom(IMAGE, stream=bytes(10), syntax=uid.UID("1.2.840.10008.1.2.4.100")), "unsupported-dicom"),
        (dicom(IMAGE, stream=bytes(10), syntax=uid.UID("1.2.840.10008.1.2.4.201")), "unsupported-dicom"),
        (dicom(IMAGE, PhotometricInterpretation="PALETTE COLOR"), "unsupported-dicom"),
        (dicom(IMAGE, BitsAllocated=1, BitsStored=1), "unsupported-dicom"),
        (dicom(IMAGE, BitsAllocated=32, BitsStored=32), "unsupported-dicom"),
        (dicom(IMAGE, SamplesPerPixel=2), "unsupported-dicom"),
        (dicom(IMAGE, Rows=65535, Columns=65535), "too-many-pixels"),
        (dicom(IMAGE, Rows=0), "damaged-image"),
        (dicom(IMAGE, Rows=5000, Columns=5000), "damaged-image"),
        (dicom(IMAGE)[128:], "not-an-image"),
        (dicom(IMAGE)[:200], "damaged-image"),
        (dicom(IMAGE)[:-200], "damaged-image"),
        (bytes(128) + b"DICM", "damaged-image"),
        (bytes(128) + b"DICM" + bytes(500), "damaged-image"),
        (bytes(128) + b"DICM" + random.Random(0).randbytes(5000), "damaged-image"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(data: bytes, slug: str) -> None:
    assert refusal(data).slug == slug


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_damaged(syntax: uid.UID, kept: float) -> None:
    data = dicom(IMAGE, syntax)
    start = data.rindex(b"\x7f\xe0\x00\x10" if syntax == uid.ExplicitVRBigEndian else b"\xe0\x7f\x10\x00")
    assert refusal(data[: start + int(kept * (len(data) - start))]).slug == "damaged-image"


def announcing(syntax: uid.UID, marker: bytes, height: int, width: int) -> bytes:
    """A compressed image whose stream announces another size than it has."""
    stream = bytearray(compressed(IMAGE, syntax, 8))
    at = stream.index(marker)
    if marker == b"\xff\x51":
        stream[at + 6 : at + 14] = struct.pack(">LL", width, height)
    else:
        stream[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return dicom(IMAGE, syntax, stream=bytes(stream))


def bombs() -> dict[str, bytes]:
    """Files that would keep pydicom or a decoder busy for long, or take gigabytes."""
    plain, rle = dicom(IMAGE), dicom(IMAGE, uid.RLELossless)
    start = plain.index(b"\x08\x00\x60\x00")
    pixels = rle.index(b"\xe0\x7f\x10\x00") + 12
    deflated = dicom(IMAGE, uid.DeflatedExplicitVRLittleEndian)[:400]
    segment = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\xff" * 2_000_000
    return {
        "elements": plain[:start] + b"\x09\x00\x01\x10LO\x00\x00" * 500_000 + plain[start:],
        "items": plain[:start] + PRIVATE_SEQUENCE + ITEM * 500_000 + plain[start:],
        "nesting": plain[:start] + (PRIVATE_SEQUENCE + ITEM[:4] + b"\xff" * 4) * 5_000 + plain[start:],
        "a word": plain[:start] + b"\x28\x00\x50\x10UN\x00\x00" + struct.pack("<L", 4_000_000) + b"1\\" * 2_000_000,
        "character sets": plain[:start] + PRIVATE_SEQUENCE + ITEM[:4] + b"\xff" * 4
        + b"\x08\x00\x05\x00CS\xff\xff" + b"A\\" * 32_767 + plain[start:],
        "pieces": rle[:pixels] + ITEM * 500_000,
        "an RLE segment": dicom(IMAGE, uid.RLELossless, stream=segment),
        "deflated": deflated + zlib.compress(bytes(10**8), 9)[2:],
        "JPEG": announcing(uid.JPEGBaseline8Bit, b"\xff\xc0", 65_535, 65_535),
        "lossless JPEG": announcing(uid.JPEGLosslessSV1, b"\xff\xc3", 65_535, 65_535),
        "JPEG-LS": announcing(uid.JPEGLSLossless, b"\xff\xf7", 65_535, 65_535),
        "JPEG 2000": announcing(uid.JPEG2000Lossless, b"\xff\x51", 60_000, 60_000),
    }  # fmt: skip


@pytest.mark.timeout(20)
def test_no_small_file_costs_much() -> None:
    slugs = {name: refusal(data).slug for name, data in bombs().items()}
    assert set(slugs.values()) == {"damaged-image", "unsupported-dicom"}


def test_a_name_in_the_header_comes_out_nowhere(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    for syntax in [*LOSSLESS, *LOSSY]:
        data = dicom(IMAGE, syntax)
        intake = take_in(data, Preprocessing(image_size=32))
        intake.radiograph.save(tmp_path / "image.png")
        assert SECRET.encode() not in (tmp_path / "image.png").read_bytes()
        for cut in (100, len(data) // 2, 300):
            with contextlib.suppress(ImageError):
                take_in(data[:-cut], Preprocessing(image_size=32))
    written = capfd.readouterr()
    assert SECRET not in written.out + written.err + caplog.text


def test_a_program_that_meets_bad_dicom_prints_nothing(tmp_path: Path) -> None:
    name = f"{SECRET}\\{SECRET}^{'x' * 100}"
    with pytest.warns(UserWarning, match="."):
        odd = dicom(IMAGE, PatientName=name, PatientBirthDate=SECRET, PatientAge=SECRET)
    for number, data in enumerate((odd, odd[:-500], odd.replace(b"DX", b"D\\"), odd.replace(b"US", b"PN"))):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    script = (
        "import sys, pathlib, contextlib\n"
        "from bento.imaging.intake import ImageError, open_image\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.dcm')):\n"
        "    try: open_image(path)\n"
        "    except ImageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert SECRET not in done.stdout


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
            open_image(bytes(data))


def test_threads_do_not_get_into_each_others_way() -> None:
    radiographs = [dicom(IMAGE, syntax) for syntax in LOSSLESS] * 4
    expected = [shown(data) for data in radiographs]
    with ThreadPoolExecutor(8) as pool:
        for found, one in zip(pool.map(shown, radiographs), expected, strict=True):
            np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize(
    "name",
    [
        "JPEG-lossy.dcm", "JPGExtended.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm", "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jls_lossy_sample.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_ybr_full_422_uncompressed.dcm", "examples_ybr_color.dcm", "MR_small_padded.dcm",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pydicoms_own_files(name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    data = pydicom.dcmread(path)
    if data.get("Modality") not in (None, "OT"):
        assert refusal(Path(path).read_bytes()).slug == "not-a-chest-image"
    data.Modality, data.BodyPartExamined = "CR", "CHEST"
    stream = io.BytesIO()
    data.save_as(stream)
    radiograph = shown(stream.getvalue())
    assert radiograph.shape == (data.Rows, data.Columns)
    assert np.ptp(radiograph) > 100


def test_copies_of_one_picture_in_several_syntaxes_look_the_same() -> None:
    def as_image(name: str) -> npt.NDArray[np.int64]:
        data = pydicom.dcmread(str(get_testdata_file(name, download=False)))
        data.Modality = "CR"
        stream = io.BytesIO()
        data.save_as(stream)
        return shown(stream.getvalue())

    names = ("bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "RLE", "padded")
    plain = as_image("MR_small.dcm")
    for name in names:
        np.testing.assert_array_equal(as_image(f"MR_small_{name}.dcm"), plain)


@pytest.mark.skipif(not FOUND.is_dir(), reason="no real DICOM files beside the project")
def test_real_images() -> None:
    assert refusal((FOUND / "CT_small.dcm").read_bytes()).slug == "not-a-chest-image"
    for name, size in (("Fake_MONOHR1.dcm", (1024, 1024)), ("RG1_J2KI.dcm", (1955, 1841))):
        radiograph = shown((FOUND / name).read_bytes())
        assert radiograph.shape == size
        assert np.ptp(radiograph) > 200
    # White means bone: the lungs are darker than what lies between them.
    assert radiograph[600:900, 300:500].mean() + 20 < radiograph[600:900, 850:950].mean()
