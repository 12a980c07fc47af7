"""Simulated scanners: what is published is what is done, by the seed alone, and more at each strength."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.support.server import ROOT
from trainer.data.corruptions import CORRUPTIONS, STRENGTHS, Corruption, corrupt
from trainer.data.sample import generate

BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}


@pytest.fixture(scope="module")
def radiograph() -> Image.Image:
    return Image.fromarray(next(generate(1, 192, 1, seed=3)).pixels)


def change(radiograph: Image.Image, corrupted: Image.Image) -> float:
    """Root mean square difference in grey levels, both stretched to one size."""
    same = corrupted.resize(radiograph.size, Image.Resampling.BILINEAR)
    return float(np.sqrt(np.mean((np.asarray(same, np.float64) - np.asarray(radiograph, np.float64)) ** 2)))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_a_corruption_grows_with_its_strength_and_leaves_the_image_alone(
    radiograph: Image.Image, corruption: Corruption
) -> None:
    before = radiograph.tobytes()
    changes = [change(radiograph, corrupt(radiograph, corruption, strength)) for strength in STRENGTHS]
    assert changes == sorted(changes)
    assert changes[0] > 0
    assert changes[4] > 1.5 * changes[0]
    assert radiograph.tobytes() == before
    assert {corrupt(radiograph, corruption, strength).mode for strength in (0, *STRENGTHS)} == {"L"}
    assert corrupt(radiograph, corruption, 0) is radiograph


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_image_and_seed_decide_everything(radiograph: Image.Image, corruption: Corruption) -> None:
    first, again = (corrupt(radiograph, corruption, 3, seed=7) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    drawn = {corrupt(radiograph, corruption, 3, seed=seed).tobytes() for seed in range(12)}
    random = corruption.name not in ("blur", "sharpening", "jpeg", "resolution")
    assert (len(drawn) > 1) is random


def test_some_images_get_darker_and_some_brighter(radiograph: Image.Image) -> None:
    grey = float(np.mean(np.asarray(radiograph)))
    for name in ("gamma", "window"):
        means = [np.mean(np.asarray(corrupt(radiograph, BY_NAME[name], 3, seed))) for seed in range(20)]
        assert min(means) < grey < max(means), name


@pytest.mark.parametrize("name", ["blur", "noise", "quanta", "resolution", "sharpening"])
def test_an_image_of_more_pixels_is_changed_as_much(name: str) -> None:
    small, large = (Image.fromarray(next(generate(1, size, 1, seed=3)).pixels) for size in (256, 1024))
    changes = []
    for image in (small, large):
        pair = (image, corrupt(image, BY_NAME[name], 4))
        reduced = [each.resize((128, 128), Image.Resampling.BOX) for each in pair]
        changes.append(change(reduced[0], reduced[1]))
    assert changes[1] == pytest.approx(changes[0], rel=0.35)


def test_a_border_is_added_and_a_crop_loses_what_the_table_says(radiograph: Image.Image) -> None:
    crop = corrupt(radiograph, BY_NAME["crop"], 2)
    assert crop.size == (round(0.9 * radiograph.width), round(0.9 * radiograph.height))
    framed = corrupt(radiograph, BY_NAME["border"], 5)
    assert radiograph.width < framed.width <= radiograph.width * 1.36
    assert np.ptp(np.asarray(framed)[:2]) == 0


def test_an_image_of_any_shape_is_taken() -> None:
    for size in ((1, 1), (7, 300), (640, 33)):
        for corruption in CORRUPTIONS:
            assert min(corrupt(Image.new("L", size, 90), corruption, 5).size) >= 1


def test_the_table_that_is_published_is_the_one_that_is_used() -> None:
    text = (ROOT / "docs/other-hospitals.md").read_text()
    rows = {
        name: (what.strip(), tuple(float(level) for level in levels.split(",")))
        for name, what, levels in re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([\d., ]+) \|", text, re.MULTILINE)
    }
    assert rows == {corruption.name: (corruption.what, corruption.levels) for corruption in CORRUPTIONS}
