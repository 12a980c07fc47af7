import numpy as np
import pytest
from PIL import Image, ImageDraw

from bento.imaging.crop_contrast import CLIP, TILES, Grey, anatomy_box, equalise


def radiograph(size: tuple[int, int], gamma: float = 1.0, seed: int = 0) -> Image.Image:
    """Soft blobs on a slope: something that is nowhere uniform."""
    blobs = np.random.default_rng(seed).integers(40, 200, (9, 9), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC), np.float64) / 255
    return Image.fromarray((255 * smooth**gamma).astype(np.uint8))


def framed(size: tuple[int, int], box: tuple[int, int, int, int], level: int) -> Image.Image:
    picture = Image.new("L", size, level)
    picture.paste(radiograph((box[2] - box[0], box[3] - box[1])), box[:2])
    return picture


@pytest.mark.parametrize("level", [0, 9, 255])
@pytest.mark.parametrize("size", [(128, 128), (600, 500), (500, 900)])
def test_a_uniform_border_is_cut_off(size: tuple[int, int], level: int) -> None:
    width, height = size
    box = (width // 8, height // 10, width - width // 6, height - height // 12)
    found = anatomy_box(framed(size, box, level))
    # Borders are looked for on a reduced image: its pixel is the precision.
    assert np.abs(np.subtract(found, box)).max() <= 2 * max(size) / 128


def test_a_burnt_in_letter_does_not_keep_a_border() -> None:
    box = (40, 30, 230, 240)
    picture = framed((256, 256), box, 0)
    ImageDraw.Draw(picture).text((8, 120), "R", fill=255, font_size=20)
    assert np.abs(np.subtract(anatomy_box(picture), box)).max() <= 4


def test_an_image_without_borders_is_kept_whole() -> None:
    assert anatomy_box(radiograph((300, 200))) == (0, 0, 300, 200)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_kept_whole(level: int) -> None:
    assert anatomy_box(Image.new("L", (70, 50), level)) == (0, 0, 70, 50)


def test_an_image_with_hardly_any_anatomy_is_kept_whole() -> None:
    assert anatomy_box(framed((200, 200), (80, 80, 120, 120), 0)) == (0, 0, 200, 200)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 3)])
def test_the_smallest_images_are_kept_whole(size: tuple[int, int]) -> None:
    assert anatomy_box(Image.new("L", size, 77)) == (0, 0, *size)


def reference(image: Grey) -> Grey:
    """CLAHE pixel by pixel, as its paper says."""
    height, width = image.shape
    levels = np.zeros((TILES, TILES, 256))
    for row in range(TILES):
        for col in range(TILES):
            rows, cols = np.arange(height) * TILES // height, np.arange(width) * TILES // width
            tile = image[rows == row][:, cols == col]
            counts = np.bincount(tile.ravel(), minlength=256).astype(float)
            limit = max(1, CLIP * tile.size / 256)
            excess = np.maximum(counts - limit, 0).sum()
            levels[row, col] = np.cumsum(np.minimum(counts, limit) + excess / 256) * 255 / tile.size
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            v, u = (y + 0.5) * TILES / height - 0.5, (x + 0.5) * TILES / width - 0.5
            for row, down in ((np.floor(v), 1 - v % 1), (np.floor(v) + 1, v % 1)):
                for col, across in ((np.floor(u), 1 - u % 1), (np.floor(u) + 1, u % 1)):
                    at = int(np.clip(row, 0, TILES - 1)), int(np.clip(col, 0, TILES - 1))
                    result[y, x] += levels[(*at, image[y, x])] * down * across
    return result.astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (71, 50), (8, 8)])
def test_equalisation_is_what_the_paper_says(size: tuple[int, int]) -> None:
    image = np.asarray(radiograph(size))
    assert np.abs(equalise(image).astype(int) - reference(image)).max() <= 2


@pytest.mark.parametrize("size", [(224, 3), (3, 224), (1, 1)])
def test_an_image_of_fewer_pixels_than_tiles_is_equalised_too(size: tuple[int, int]) -> None:
    image = np.asarray(radiograph(size))
    assert equalise(image).shape == image.shape


def test_equalisation_takes_most_of_the_exposure_away() -> None:
    one, other = (np.asarray(radiograph((128, 128), gamma)) for gamma in (1.0, 1.8))
    before = np.abs(one.astype(int) - other).mean()
    after = np.abs(equalise(one).astype(int) - equalise(other)).mean()
    assert after < before * 2 / 3
