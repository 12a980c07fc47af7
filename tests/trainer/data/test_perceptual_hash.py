"""Copies are known again by their hashes, strangers are not; a hash is too short to hold a picture."""

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from trainer.data.duplicates import thumbnail
from trainer.data.perceptual_hash import known_pictures, perceptual_hashes
from trainer.data.sample import generate


@cache
def radiographs(images: int, seed: int) -> list[Image.Image]:
    """Images of different people."""
    people = {image.patient: image for image in generate(images, 128, 3, seed)}.values()
    return [Image.fromarray(image.pixels) for image in people]


def hashes(images: list[Image.Image]) -> list[str]:
    return perceptual_hashes(np.stack([thumbnail(image) for image in images]))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("L")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same": lambda image: image,
    "JPEG of quality 90": lambda image: as_jpeg(image, 90),
    "JPEG of quality 75": lambda image: as_jpeg(image, 75),
    "half as large": lambda image: image.resize((64, 64), Image.Resampling.BILINEAR),
    "twice as large": lambda image: image.resize((256, 256), Image.Resampling.BILINEAR),
    "half as large, as JPEG": lambda image: as_jpeg(image.resize((64, 64), Image.Resampling.LANCZOS), 75),
    "brighter": lambda image: image.point([min(255, round(1.1 * grey)) for grey in range(256)]),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_known_again(change: str) -> None:
    images = radiographs(20, 1)
    assert known_pictures(hashes([COPIES[change](image) for image in images]), hashes(images)).all()


def test_a_stranger_is_not_known() -> None:
    assert not known_pictures(hashes(radiographs(20, 1)), hashes(radiographs(20, 3))).any()


def test_which_one_is_known_is_told_by_its_place() -> None:
    images = radiographs(20, 1)
    assert known_pictures(hashes(images), hashes(images[2:3])).nonzero()[0].tolist() == [2]


def test_a_hash_has_32_bytes_and_no_more() -> None:
    (found,) = hashes(radiographs(20, 1)[:1])
    assert len(bytes.fromhex(found)) == 32
