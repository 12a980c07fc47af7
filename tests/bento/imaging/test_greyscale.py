"""JPEG and PNG become grey: which of 16 bits count, what lies on black, and what is warned of."""

from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bento.imaging import greyscale
from bento.imaging.errors import DamagedImageError
from bento.imaging.intake import read_radiograph
from tests.support import pictures
from tests.support.pictures import deep, encode, with_chunk

IMAGE = pictures.radiograph()
OPAQUE = np.full_like(deep(16), 65535)


def greys(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(read_radiograph(data, 2000).radiograph)


def kinds(data: bytes) -> list[str]:
    return [warning.kind for warning in read_radiograph(data, 2000).warnings]


def png(samples: npt.NDArray[Any]) -> bytes:
    """A PNG of H×W, H×W×2 (with opacity), H×W×3 or H×W×4 samples, by another encoder than Pillow's."""
    return bytes(imagecodecs.png_encode(samples))


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 15])
@pytest.mark.parametrize(
    "channels",
    [
        pytest.param(lambda grey: grey, id="grey"),
        pytest.param(lambda grey: np.stack([grey, OPAQUE], axis=-1), id="grey and opacity"),
        pytest.param(lambda grey: np.stack(3 * [grey], axis=-1), id="RGB"),
        pytest.param(lambda grey: np.stack([*3 * [grey], OPAQUE], axis=-1), id="RGB and opacity"),
    ],
)
def test_of_16_bits_those_in_use_become_the_greys_with_a_warning(channels: Any, bits: int) -> None:
    data = png(channels(deep(bits)))
    np.testing.assert_array_equal(greys(data), IMAGE)
    assert kinds(data) == ["bit-depth"]
    assert f"seems to use {bits};" in read_radiograph(data, 64).warnings[0].text


def test_of_a_very_large_image_of_several_channels_few_levels_are_left_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(greyscale, "MAX_DEEP_PIXELS", IMAGE.size - 1)
    data = png(np.stack(3 * [deep(14)], axis=-1))
    np.testing.assert_array_equal(greys(data), IMAGE >> 2)
    assert read_radiograph(data, 64).warnings[0] == greyscale.FEW_LEVELS


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_that_uses_all_16_bits_keeps_the_upper_eight(channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    data = png(levels if channels == 1 else np.stack(3 * [levels], axis=-1))
    np.testing.assert_array_equal(greys(data), levels >> 8)
    assert kinds(data) == []


@pytest.mark.parametrize(
    ("levels", "stated"),
    [
        pytest.param(deep(14), 14, id="14 bits as they are"),
        pytest.param(deep(16) & 0xFFFC, 14, id="14 bits scaled up, as the standard asks"),
        pytest.param(deep(12) // 2 * 2, 12, id="12 bits as they are"),
        pytest.param(deep(8), 8, id="8 bits as they are"),
        pytest.param(deep(8) * 257, 8, id="8 bits scaled up"),
        pytest.param(deep(16), 16, id="16 bits"),
    ],
)
def test_how_many_bits_count_is_no_guess_where_the_png_says_it(levels: npt.NDArray[np.uint16], stated: int) -> None:
    data = with_chunk(png(levels), b"sBIT", bytes([stated]))
    np.testing.assert_array_equal(greys(data), IMAGE)
    assert kinds(data) == []


def test_dark_data_of_16_stated_bits_stay_dark() -> None:
    data = with_chunk(png(deep(14)), b"sBIT", b"\x10")
    np.testing.assert_array_equal(greys(data), IMAGE >> 2)
    assert kinds(data) == []


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff"])
def test_a_statement_that_makes_no_sense_does_not_count(content: bytes) -> None:
    data = with_chunk(png(deep(12)), b"sBIT", content)
    np.testing.assert_array_equal(greys(data), IMAGE)
    assert kinds(data) == ["bit-depth"]


def test_a_black_png_of_16_bits_is_blank_and_no_more() -> None:
    assert kinds(png(np.zeros((90, 90), np.uint16))) == ["blank"]


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_of_16_bits_is_turned_as_its_exif_block_says(channels: int, bits: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    samples = np.stack([*3 * [deep(bits)], OPAQUE], axis=-1)[..., :channels]
    data = png(np.ascontiguousarray(np.rot90(samples)).squeeze())
    np.testing.assert_array_equal(greys(with_chunk(data, b"eXIf", exif.tobytes()[6:])), IMAGE)


def test_a_png_of_16_bits_that_is_cut_off_is_damaged() -> None:
    data = png(np.stack(3 * [deep(12)], axis=-1))
    with pytest.raises(DamagedImageError):
        greys(data[: len(data) * 2 // 3])


VISIBLE = IMAGE > 100
OPACITY = 255 * VISIBLE.astype(np.uint8)
HALF = IMAGE * VISIBLE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(np.stack([IMAGE, OPACITY], axis=-1)), id="grey"),
        pytest.param(png(np.stack([*3 * [IMAGE], OPACITY], axis=-1)), id="RGB"),
        pytest.param(
            encode(Image.fromarray(IMAGE).convert("P"), "PNG", transparency=bytes(101) + b"\xff" * 155), id="palette"
        ),
        pytest.param(png(np.stack([deep(12), OPAQUE * VISIBLE], axis=-1)), id="grey of 16 bits"),
        pytest.param(png(np.stack([*3 * [deep(12)], OPAQUE * VISIBLE], axis=-1)), id="RGB of 16 bits"),
    ],
)
def test_what_is_transparent_becomes_black_with_a_warning(data: bytes) -> None:
    np.testing.assert_array_equal(greys(data), HALF)
    assert set(kinds(data)) - {"bit-depth"} == {"transparent"}


@pytest.mark.parametrize(
    ("levels", "content"),
    [
        pytest.param(IMAGE, b"\x00\x82", id="grey"),
        pytest.param(deep(16), b"\x82\x00", id="grey of 16 bits"),
        pytest.param(np.stack(3 * [IMAGE], axis=-1), 3 * b"\x00\x82", id="RGB"),
    ],
)
def test_a_level_that_is_declared_transparent_becomes_black_with_a_warning(
    levels: npt.NDArray[Any], content: bytes
) -> None:
    data = with_chunk(png(levels), b"tRNS", content)
    np.testing.assert_array_equal(greys(data), np.where(IMAGE == 0x82, 0, IMAGE))
    assert kinds(data) == ["transparent"]


def test_a_wholly_transparent_image_is_blank_too() -> None:
    assert kinds(encode(pictures.with_alpha("RGBA", 0), "PNG")) == ["transparent", "blank"]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_that_hides_nothing_is_not_mentioned(mode: str) -> None:
    assert kinds(encode(pictures.with_alpha(mode, 255), "PNG")) == []
