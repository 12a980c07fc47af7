from dataclasses import astuple
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from bento.http.problems import KINDS
from bento.imaging.errors import ImageError, TooManyPixelsError
from bento.imaging.intake import FORMATS, fit, is_dicom, load_array, open_image, read_radiograph, take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support import pictures
from tests.support.server import ROOT

SPEC = Preprocessing(image_size=64)
FIELD = ROOT.parent / "shared" / "cases"
CASES: dict[str, tuple[tuple[int, int], list[str], int]] = {
    "mpo_phone.jpg": ((128, 128), ["several-images"], 2),
    "png16_14bit.png": ((512, 512), ["bit-depth"], 200),
    "pixel_aspect_2_1.dcm": ((256, 256), [], 100),
    "dicom_without_suffix": ((256, 256), [], 100),
}
"""Size, kinds of warnings and least number of grey levels."""


@pytest.mark.parametrize("name", pictures.GOOD)
def test_every_good_kind_of_image_gives_the_same_array(name: str) -> None:
    expected = load_array(pictures.GOOD["a grey PNG"], SPEC).astype(int)
    array = load_array(pictures.GOOD[name], SPEC)
    assert array.dtype == np.uint8
    assert array.shape == (64, 64)
    assert np.abs(array - expected).max() <= 4


@pytest.mark.parametrize("name", pictures.BAD)
def test_every_bad_file_is_refused_by_its_name(name: str) -> None:
    data, slug = pictures.BAD[name]
    with pytest.raises(ImageError) as error:
        load_array(data, SPEC)
    assert error.value.slug == slug


def test_the_image_is_kept_whole_and_the_rest_is_black() -> None:
    array = load_array(pictures.encode(Image.new("L", (200, 100), 255), "PNG"), SPEC)
    assert (array[16:48] == 255).all()
    assert (array[:16] == 0).all()
    assert (array[48:] == 0).all()


@pytest.mark.parametrize("crop", ["none", "anatomy"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256)])
def test_the_frame_says_where_the_models_square_lies_on_the_image(
    size: tuple[int, int], crop: Literal["none", "anatomy"]
) -> None:
    width, height = size
    radiograph = Image.new("L", size, 0)
    radiograph.paste(Image.fromarray(pictures.radiograph(height - 60, width - 60) // 2), (40, 30))
    spot = (width // 2 + 25, height // 2 - 15)
    radiograph.paste(255, (spot[0] - 2, spot[1] - 2, spot[0] + 3, spot[1] + 3))
    intake = fit(radiograph, Preprocessing(image_size=128, crop=crop))
    row, col = (float(axis.mean()) for axis in np.nonzero(intake.image >= 180))
    left, top, right, bottom = astuple(intake.frame)
    assert abs((left + (col + 0.5) / 128 * (right - left)) * width - spot[0] - 0.5) <= 1
    assert abs((top + (row + 0.5) / 128 * (bottom - top)) * height - spot[1] - 0.5) <= 1
    assert (left > 0 or top > 0) == (crop == "anatomy")


def test_the_image_of_an_intake_is_upright() -> None:
    intake = take_in(pictures.turned(), SPEC)
    assert intake.radiograph.size == (120, 90)


def test_an_equalised_image_has_black_beside_it() -> None:
    radiograph = Image.new("L", (64, 32), 9)
    array = fit(radiograph, Preprocessing(image_size=64, contrast="clahe")).image
    assert (array[:16] == 0).all()
    assert (array[48:] == 0).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_on_black(mode: str) -> None:
    half = load_array(pictures.encode(pictures.with_alpha(mode, 128), "PNG"), SPEC).astype(int)
    full = load_array(pictures.GOOD["a grey PNG"], SPEC).astype(int)
    assert np.abs(half - full / 2).max() <= 2


def test_a_large_jpeg_decoded_at_a_reduced_scale_stays_the_same_picture() -> None:
    large = Image.fromarray(pictures.radiograph()).resize((2400, 1800), Image.Resampling.BICUBIC)
    jpeg = load_array(pictures.encode(large, "JPEG", quality=95), SPEC).astype(int)
    png = load_array(pictures.encode(large, "PNG"), SPEC).astype(int)
    assert np.abs(jpeg - png).max() <= 4


@pytest.mark.parametrize("name", pictures.GOOD)
def test_a_file_has_one_of_the_accepted_formats(name: str, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(pictures.GOOD[name])
    stored_format = next(accepted for accepted in reversed(FORMATS) if accepted in name)
    assert read_radiograph(file, 64).stored_format == stored_format
    assert is_dicom(file) == (stored_format == "DICOM")


def test_a_multi_picture_jpeg_is_turned_as_its_exif_block_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = pictures.grey().transpose(Image.Transpose.ROTATE_90)
    data = pictures.encode(image, "MPO", quality=98, save_all=True, append_images=[image], exif=exif)
    assert read_radiograph(data, 64).radiograph.size == (120, 90)


@pytest.mark.parametrize(
    ("kind", "density", "kinds"),
    [
        ("JPEG", (200, 100), ["pixel-shape"]),
        ("PNG", (72, 96), ["pixel-shape"]),
        ("JPEG", (300, 299), []),
        ("PNG", (300, 300), []),
        ("PNG", (0, 0), []),
    ],
)
def test_pixels_that_a_jpeg_or_png_says_are_not_square_are_a_warning(
    kind: str, density: tuple[int, int], kinds: list[str]
) -> None:
    decoded = read_radiograph(pictures.encode(pictures.grey(), kind, dpi=density), 64)
    assert [warning.kind for warning in decoded.warnings] == kinds
    assert decoded.radiograph.size == (120, 90)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(not FIELD.is_dir(), reason="no files from the field beside the project")
def test_a_file_from_the_field(name: str) -> None:
    size, kinds, levels = CASES[name]
    decoded = read_radiograph(FIELD / name, 2000)
    assert decoded.radiograph.size == size
    assert [warning.kind for warning in decoded.warnings] == kinds
    assert len(np.unique(np.asarray(decoded.radiograph))) >= levels


def test_the_pixel_cap_counts_the_last_pixel() -> None:
    data = pictures.GOOD["a grey PNG"]
    open_image(data, max_pixels=120 * 90)
    with pytest.raises(TooManyPixelsError, match="120×90"):
        open_image(data, max_pixels=120 * 90 - 1)


@pytest.mark.parametrize("kind", ImageError.__subclasses__())
def test_every_image_error_is_a_kind_of_problem_with_a_client_status(kind: type[ImageError]) -> None:
    assert 400 <= KINDS[kind.slug].status < 500
