"""What the input checks say of radiographs and of other pictures, each encoded as it would be sent."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bento.imaging.intake import read_radiograph, take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support import pictures
from trainer.data.sample.dataset import generate

SPEC = Preprocessing(image_size=64)
EXAMPLES = Path(__file__).parents[3] / "bento" / "page" / "examples"
IMAGE = Image.fromarray(next(generate(1, 256, 1, 3)).pixels)
RNG = np.random.default_rng(0)


def noisy(level: int, spread: float) -> Image.Image:
    return Image.fromarray(np.clip(RNG.normal(level, spread, (256, 256)), 0, 255).astype(np.uint8))


def photograph() -> Image.Image:
    """Coloured shapes on a coloured ground."""
    image = Image.new("RGB", (300, 200), (120, 160, 200))
    draw = ImageDraw.Draw(image)
    for number in range(12):
        colour = tuple(int(value) for value in RNG.integers(0, 256, 3))
        left, top = int(RNG.integers(0, 250)), int(RNG.integers(0, 150))
        draw.ellipse((left, top, left + 70, top + 60), fill=colour)
        draw.line((left, top, 300 - left, 25 * number), fill=colour, width=5)
    return image


def marked() -> Image.Image:
    """An image with a small marker in saturated red."""
    image = IMAGE.convert("RGB")
    ImageDraw.Draw(image).rectangle((10, 10, 45, 45), fill=(255, 0, 0))
    return image


def see_through() -> Image.Image:
    """An image whose background is red, but wholly transparent."""
    image = IMAGE.convert("RGBA")
    layer = Image.new("RGBA", image.size, (255, 0, 0, 0))
    layer.paste(image, (0, 0), IMAGE.point(lambda grey: 255 if grey > 40 else 0))
    return layer


def lettered() -> Image.Image:
    """A black image with a line of text."""
    image = Image.new("L", (256, 256))
    ImageDraw.Draw(image).text((20, 20), "NO IMAGE", fill=255)
    return image


def dim() -> Image.Image:
    """An image of a third of its contrast."""
    return IMAGE.point(lambda grey: 60 + grey // 3)


CASES: dict[str, tuple[bytes, list[str]]] = {
    "an image is fine": (pictures.encode(IMAGE, "PNG"), []),
    "an image as JPEG is fine": (pictures.encode(IMAGE, "JPEG", quality=60), []),
    "grey stored as RGB is grey": (pictures.encode(IMAGE.convert("RGB"), "PNG"), []),
    "grey stored as a colour JPEG is grey, whatever its chroma noise": (
        pictures.encode(IMAGE.convert("RGB"), "JPEG", quality=20),
        [],
    ),
    "a palette of greys is grey": (pictures.encode(IMAGE.convert("P"), "PNG"), []),
    "a small coloured marker does not count": (pictures.encode(marked(), "PNG"), []),
    "colour that nobody sees does not count": (pictures.encode(see_through(), "PNG"), ["transparent"]),
    "a third of the contrast is enough": (pictures.encode(dim(), "PNG"), []),
    "a colour PNG is coloured": (pictures.encode(photograph(), "PNG"), ["colour"]),
    "a colour JPEG is coloured": (pictures.encode(photograph(), "JPEG"), ["colour"]),
    "a JPEG stored as RGB is coloured": (pictures.encode(photograph(), "JPEG", keep_rgb=True), ["colour"]),
    "a palette of colours is coloured": (pictures.encode(photograph().convert("P"), "PNG"), ["colour"]),
    "a colour PNG with opacity is coloured": (
        pictures.encode(photograph().convert("RGBA"), "PNG"),
        ["colour"],
    ),
    "black is blank": (pictures.encode(Image.new("L", (90, 90)), "PNG"), ["blank"]),
    "white is blank": (pictures.encode(Image.new("L", (90, 90), 255), "PNG"), ["blank"]),
    "faint noise on black is nearly blank": (pictures.encode(noisy(4, 4), "PNG"), ["blank"]),
    "noise on grey is nearly blank": (pictures.encode(noisy(128, 12), "PNG"), ["blank"]),
    "a line of text on black is nearly blank": (pictures.encode(lettered(), "PNG"), ["blank"]),
    "one colour is both": (pictures.encode(Image.new("RGB", (90, 90), (200, 30, 30)), "PNG"), ["colour", "blank"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_an_image(name: str) -> None:
    data, expected = CASES[name]
    assert [warning.kind for warning in take_in(data, SPEC).warnings] == expected


@pytest.mark.parametrize("name", pictures.GOOD)
def test_nothing_is_said_of_an_ordinary_image_however_it_is_stored(name: str) -> None:
    kinds = [warning.kind for warning in take_in(pictures.GOOD[name], SPEC).warnings]
    assert kinds == pictures.WARNED.get(name, [])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_nothing_is_said_of_the_pages_examples(path: Path) -> None:
    assert take_in(path, SPEC).warnings == ()


@pytest.mark.parametrize("options", [{}, {"keep_rgb": True}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("size", [8, 64, 400])
def test_looking_at_the_colours_changes_no_bit_of_the_grey(options: dict[str, bool | int], size: int) -> None:
    """libjpeg's own grey is what the model was trained on."""
    large = photograph().resize((900, 700), Image.Resampling.BICUBIC)
    data = pictures.encode(large, "JPEG", **options)
    with Image.open(io.BytesIO(data)) as plain:
        plain.draft("L", (2 * size, 2 * size))
        expected = np.asarray(plain.convert("L"))
    np.testing.assert_array_equal(np.asarray(read_radiograph(data, size).radiograph), expected)
