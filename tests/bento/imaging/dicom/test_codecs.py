"""Compressed pixels: every syntax gives the same image, none decodes more than the header has announced."""

import inspect
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.pixels.decoders import pillow
from pydicom.pixels.decoders.base import get_decoder

from bento.imaging.dicom.codecs import SUPPORTED
from tests.support.dicom_reading import DEEP, IMAGE, WIDE, difference, refusal, shown
from tests.support.dicoms import LOSSLESS, LOSSY, compressed, dicom


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


@pytest.mark.parametrize("syntax", [*LOSSLESS, *sorted(LOSSY)], ids=lambda syntax: syntax.name)
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


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(announcing(uid.JPEGBaseline8Bit, b"\xff\xc0", 65_535, 65_535), id="JPEG"),
        pytest.param(announcing(uid.JPEGLosslessSV1, b"\xff\xc3", 65_535, 65_535), id="lossless JPEG"),
        pytest.param(announcing(uid.JPEGLSLossless, b"\xff\xf7", 65_535, 65_535), id="JPEG-LS"),
        pytest.param(announcing(uid.JPEG2000Lossless, b"\xff\x51", 60_000, 60_000), id="JPEG 2000"),
        pytest.param(
            dicom(IMAGE, uid.RLELossless, stream=struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\xff" * 2_000_000),
            id="an RLE segment",
        ),
    ],
)
def test_no_small_stream_takes_much_memory_or_time(data: bytes) -> None:
    assert refusal(data).slug == "damaged-image"


def test_pydicom_decodes_with_these_decoders_alone() -> None:
    for syntax in SUPPORTED:
        if syntax.is_compressed:
            assert get_decoder(syntax).available_plugins == ("bounded",)


def test_pydicoms_plugin_for_pillow_still_has_the_private_function_that_is_used() -> None:
    assert list(inspect.signature(pillow._decode_frame).parameters) == ["src", "runner"]


def test_threads_do_not_get_into_each_others_way() -> None:
    radiographs = [dicom(IMAGE, syntax) for syntax in LOSSLESS] * 4
    expected = [shown(data) for data in radiographs]
    with ThreadPoolExecutor(8) as pool:
        for greys, expected_greys in zip(pool.map(shown, radiographs), expected, strict=True):
            np.testing.assert_array_equal(greys, expected_greys)


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
