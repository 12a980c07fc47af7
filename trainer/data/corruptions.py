"""Simulated scanners: a fixed set of corruptions of an image, each at five strengths, to see what a model bears.

The protocol (a model's metrics on clean images beside those at five strengths of each corruption) is that of Hendrycks
& Dietterich (2019); the corruptions are what differs between X-ray departments instead of between photographs.
:data:`CORRUPTIONS` is the whole table. It is fixed: metrics of different models can only be compared while it is.

A corruption changes the decoded image, before the intake. Lengths are in 256ths of the image's longer side and noise is
drawn on a grid of at most that many points, so that a strength means the same at any resolution. Which way an image is
changed (brighter or darker, black border or white) is drawn for each image, from its pixels and a seed, and is the
same at all strengths.
"""

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 256
STRENGTHS = (1, 2, 3, 4, 5)
ABSORPTION = 3.0
"""Natural logarithm of how much darker an image's black is exposed than its white."""

Grey = npt.NDArray[np.float32]
Apply = Callable[[Image.Image, float, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Corruption:
    """One way in which a scanner or its operator changes an image."""

    name: str
    what: str
    """What the levels measure, with their unit."""
    levels: tuple[float, float, float, float, float]
    """One for each of the five strengths."""
    apply: Apply
    """Change an image of mode ``L`` to a level, with the random numbers given."""


def corrupt(radiograph: Image.Image, corruption: Corruption, strength: int, seed: int = 0) -> Image.Image:
    """Change an image as if another scanner had delivered it.

    Args:
        radiograph: mode ``L``; it stays as it is.
        corruption: one of :data:`CORRUPTIONS`.
        strength: 1 to 5; 0 is the image itself.
        seed: not negative; with the image it decides all that is random.

    Returns:
        Mode ``L``; of another size where a border is added or a part cut out.
    """
    if strength == 0:
        return radiograph
    rng = np.random.default_rng((seed, zlib.crc32(corruption.name.encode()), zlib.crc32(radiograph.tobytes())))
    return corruption.apply(radiograph, corruption.levels[strength - 1], rng)


def _unit(radiograph: Image.Image) -> float:
    """Number of pixels in a 256th of the longer side."""
    return max(radiograph.size) / SIDE


def _grey(radiograph: Image.Image) -> Grey:
    return np.asarray(radiograph, dtype=np.float32)


def _image(grey: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _coin(rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.5)


def _gamma(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    exponent = level if _coin(rng) else 1 / level
    return radiograph.point([round(255 * (grey / 255) ** exponent) for grey in range(256)])


def _contrast(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    base = (1 - level) * 255 * float(rng.random())
    return radiograph.point([round(base + level * grey) for grey in range(256)])


def _window(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    low = 255 * level * float(rng.random())
    high = 255 * (1 - level) + low
    return radiograph.point([min(255, max(0, round(255 * (grey - low) / (high - low)))) for grey in range(256)])


def _border(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    grey = int(rng.integers(0, 11)) + (245 if _coin(rng) else 0)
    left, top, right, bottom = (round(width * max(radiograph.size)) for width in rng.uniform(0.3, 1, 4) * level)
    framed = Image.new("L", (left + radiograph.width + right, top + radiograph.height + bottom), grey)
    framed.paste(radiograph, (left, top))
    return framed


def _marker(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    height = level * max(radiograph.size)
    font = ImageFont.load_default(max(5.0, height))
    marked = radiograph.copy()
    draw = ImageDraw.Draw(marked)
    text = str(rng.choice(["R", "L", "PA", "AP", "R PA", "ERECT"]))
    across, down = float(rng.uniform(0.02, 0.1)), float(rng.uniform(0.02, 0.15))
    left = (1 - across) * radiograph.width if _coin(rng) else across * radiograph.width
    top = down * radiograph.height if rng.random() < 0.75 else (1 - down) * radiograph.height
    anchor = ("r" if left > radiograph.width / 2 else "l") + ("a" if top < radiograph.height / 2 else "d")
    draw.text((left, top), text, fill=int(rng.integers(225, 256)), font=font, anchor=anchor)
    return marked


def _blur(radiograph: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    return radiograph.filter(ImageFilter.GaussianBlur(level * _unit(radiograph)))


def _sharpening(radiograph: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    return radiograph.filter(ImageFilter.UnsharpMask(3 * _unit(radiograph), round(100 * level), 0))


def _field(radiograph: Image.Image, grid: Grey) -> Grey:
    """Stretch a field of :func:`_grid`'s size to the image's own pixels."""
    return np.asarray(Image.fromarray(grid).resize(radiograph.size, Image.Resampling.BILINEAR), dtype=np.float32)


def _grid(radiograph: Image.Image) -> tuple[int, int]:
    """Rows and columns of the points that noise is drawn on."""
    scale = max(1.0, _unit(radiograph))
    return max(1, round(radiograph.height / scale)), max(1, round(radiograph.width / scale))


def _noise(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    grid = rng.standard_normal(_grid(radiograph), dtype=np.float32)
    return _image(_grey(radiograph) + level * _field(radiograph, grid))


def _quanta(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    rows, columns = _grid(radiograph)
    reduced = _grey(radiograph.resize((columns, rows), Image.Resampling.BOX))
    expected = level * np.exp(-ABSORPTION * reduced / 255)
    density = -np.log(np.maximum(rng.poisson(expected), 0.5) / level) * (255 / ABSORPTION)
    return _image(_grey(radiograph) + _field(radiograph, (density - reduced).astype(np.float32)))


def _jpeg(radiograph: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    stream = io.BytesIO()
    radiograph.save(stream, "JPEG", quality=round(level))
    with Image.open(stream) as packed:
        packed.load()
        return packed


def _resolution(radiograph: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    scale = level / max(radiograph.size)
    if scale >= 1:
        return radiograph
    small = (max(1, round(radiograph.width * scale)), max(1, round(radiograph.height * scale)))
    return radiograph.resize(small, Image.Resampling.BOX).resize(radiograph.size, Image.Resampling.BILINEAR)


def _crop(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    width, height = round((1 - level) * radiograph.width), round((1 - level) * radiograph.height)
    left, top = (round(float(rng.random()) * rest) for rest in (radiograph.width - width, radiograph.height - height))
    return radiograph.crop((left, top, left + width, top + height))


def _rotation(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    angle = level if _coin(rng) else -level
    return radiograph.rotate(angle, Image.Resampling.BILINEAR, fillcolor=0)


def _stretch(radiograph: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    factor = math.sqrt(1 + level) if _coin(rng) else 1 / math.sqrt(1 + level)
    size = (max(1, round(radiograph.width * factor)), max(1, round(radiograph.height / factor)))
    return radiograph.resize(size, Image.Resampling.BILINEAR)


CORRUPTIONS = (
    Corruption("gamma", "exponent of the grey scale, or one over it", (1.25, 1.5, 1.8, 2.1, 2.5), _gamma),
    Corruption("contrast", "share of the grey scale that is used", (0.8, 0.65, 0.5, 0.4, 0.3), _contrast),
    Corruption("window", "share of the grey scale that is cut off", (0.1, 0.18, 0.26, 0.34, 0.42), _window),
    Corruption("border", "widest black or white border, of the side", (0.03, 0.06, 0.1, 0.14, 0.18), _border),
    Corruption("marker", "height of burnt-in letters, of the side", (0.04, 0.06, 0.08, 0.1, 0.13), _marker),
    Corruption("blur", "standard deviation, 256ths of the side", (0.6, 1.0, 1.5, 2.1, 2.8), _blur),
    Corruption("sharpening", "strength of an unsharp mask", (0.5, 1.0, 1.5, 2.5, 4.0), _sharpening),
    Corruption("noise", "Gaussian, standard deviation in grey levels", (4, 8, 12, 18, 26), _noise),
    Corruption("quanta", "photons a point behind black", (2000, 800, 400, 200, 100), _quanta),
    Corruption("jpeg", "quality", (50, 30, 20, 12, 7), _jpeg),
    Corruption("resolution", "pixels of the longer side", (128, 96, 72, 54, 40), _resolution),
    Corruption("crop", "share of each side that is lost, off-centre", (0.05, 0.1, 0.15, 0.2, 0.25), _crop),
    Corruption("rotation", "degrees, to the left or right", (2, 4, 7, 10, 14), _rotation),
    Corruption("stretch", "change of the aspect ratio", (0.05, 0.1, 0.15, 0.22, 0.3), _stretch),
)
