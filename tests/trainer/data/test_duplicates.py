"""Copies of an image are found however they were saved; no stranger is taken for one."""

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from trainer.data.duplicates import lookalikes, near_duplicates, thumbnail
from trainer.data.sample import generate


def radiograph(seed: int, size: int = 128) -> Image.Image:
    return Image.fromarray(next(generate(1, size, 1, seed)).pixels)


def as_jpeg(image: Image.Image, quality: int = 30) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("L")


def with_gamma(image: Image.Image, gamma: float) -> Image.Image:
    return image.point([round(255 * (grey / 255) ** gamma) for grey in range(256)])


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "made smaller": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
    "made larger": lambda image: image.resize((300, 300), Image.Resampling.BICUBIC),
    "squashed": lambda image: image.resize((128, 100), Image.Resampling.BILINEAR),
    "saved as a poor JPEG": as_jpeg,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "of less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "of another gamma": lambda image: with_gamma(image, 1.4),
    "stretched to the full grey scale": lambda image: ImageOps.autocontrast(image, cutoff=1),
    "smaller, brighter and a poor JPEG": lambda image: as_jpeg(
        ImageEnhance.Brightness(image.resize((80, 80))).enhance(1.1)
    ),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_found_among_strangers(change: str) -> None:
    images = [radiograph(1), radiograph(2), radiograph(3), COPIES[change](radiograph(1))]
    names = ["a", "b", "c", "copy of a"]
    assert lookalikes(np.stack([thumbnail(image) for image in images]), names) == ["a", "", "", "a"]


def test_images_of_different_people_are_no_copies() -> None:
    people = {image.patient: image for image in generate(150, 64, 3, 5)}.values()
    assert near_duplicates(np.stack([thumbnail(Image.fromarray(image.pixels)) for image in people])) == []


def test_a_chain_of_copies_is_one_group_named_by_its_first_image() -> None:
    first = radiograph(4)
    images = [radiograph(5), with_gamma(first, 0.8), first, with_gamma(first, 1.25)]
    assert lookalikes(np.stack([thumbnail(image) for image in images]), list("abcd")) == ["", "b", "b", "b"]


def test_thousands_of_copies_of_one_file_take_no_time() -> None:
    copies = np.repeat(thumbnail(radiograph(6))[None], 20_000, axis=0)
    start = time.monotonic()
    assert set(lookalikes(copies, [f"{number}" for number in range(20_000)])) == {"0"}
    assert time.monotonic() - start < 20


def test_blank_images_of_different_grey_are_no_copies() -> None:
    blank = np.stack([np.full((32, 32), grey, np.uint8) for grey in (0, 90)])
    assert lookalikes(blank, ["a", "b"]) == ["", ""]
