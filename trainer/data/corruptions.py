"""Simulated scanners: a fixed set of corruptions of a film, each at five strengths, to see what a model bears.

The idea and its protocol (a clean model's figure beside that at five strengths of each corruption) are Hendrycks &
Dietterich's (2019); the corruptions are what differs between X-ray departments instead of between photographs.
:data:`CORRUPTIONS` is the whole table. It is fixed: figures of different models can only be compared while it is.

A corruption changes the decoded film, before the intake. Lengths are in 256ths of the film's longer side and noise is
drawn on a grid of at most that many points, so that a film means the same at any resolution. Which way a film is
changed (brighter or darker, black border or white) is drawn for each film, from its pixels and a seed, and is the
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
"""Natural logarithm of how much darker a film's black is exposed than its white."""

Grey = npt.NDArray[np.float32]
Apply = Callable[[Image.Image, float, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Corruption:
    """One way in which a scanner or its operator changes a film."""

    name: str
    what: str
    """What the levels measure."""
    levels: tuple[float, float, float, float, float]
    """Of the five strengths."""
    apply: Apply


def corrupt(film: Image.Image, corruption: Corruption, strength: int, seed: int = 0) -> Image.Image:
    """The film as another scanner might have delivered it.

    Args:
        film: mode ``L``; it stays as it is.
        corruption: one of :data:`CORRUPTIONS`.
        strength: 1 to 5; 0 is the film itself.
        seed: not negative; with the film it decides all that is random.

    Returns:
        Mode ``L``; of another size where a border is added or a part cut out.
    """
    if strength == 0:
        return film
    rng = np.random.default_rng((seed, zlib.crc32(corruption.name.encode()), zlib.crc32(film.tobytes())))
    return corruption.apply(film, corruption.levels[strength - 1], rng)


def _unit(film: Image.Image) -> float:
    """Pixels in a 256th of the longer side."""
    return max(film.size) / SIDE


def _grey(film: Image.Image) -> Grey:
    return np.asarray(film, dtype=np.float32)


def _film(grey: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _either(rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.5)


def _gamma(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    exponent = level if _either(rng) else 1 / level
    return film.point([round(255 * (grey / 255) ** exponent) for grey in range(256)])


def _contrast(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    base = (1 - level) * 255 * float(rng.random())
    return film.point([round(base + level * grey) for grey in range(256)])


def _window(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    low = 255 * level * float(rng.random())
    high = 255 * (1 - level) + low
    return film.point([min(255, max(0, round(255 * (grey - low) / (high - low)))) for grey in range(256)])


def _border(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    grey = int(rng.integers(0, 11)) + (245 if _either(rng) else 0)
    left, top, right, bottom = (round(width * max(film.size)) for width in rng.uniform(0.3, 1, 4) * level)
    framed = Image.new("L", (left + film.width + right, top + film.height + bottom), grey)
    framed.paste(film, (left, top))
    return framed


def _marker(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    height = level * max(film.size)
    font = ImageFont.load_default(max(5.0, height))
    marked = film.copy()
    draw = ImageDraw.Draw(marked)
    text = str(rng.choice(["R", "L", "PA", "AP", "R PA", "ERECT"]))
    across, down = float(rng.uniform(0.02, 0.1)), float(rng.uniform(0.02, 0.15))
    left = (1 - across) * film.width if _either(rng) else across * film.width
    top = down * film.height if rng.random() < 0.75 else (1 - down) * film.height
    anchor = ("r" if left > film.width / 2 else "l") + ("a" if top < film.height / 2 else "d")
    draw.text((left, top), text, fill=int(rng.integers(225, 256)), font=font, anchor=anchor)
    return marked


def _blur(film: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    return film.filter(ImageFilter.GaussianBlur(level * _unit(film)))


def _sharpening(film: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    return film.filter(ImageFilter.UnsharpMask(3 * _unit(film), round(100 * level), 0))


def _field(film: Image.Image, grid: Grey) -> Grey:
    """A field drawn at :func:`_grid`'s size, on the film's own pixels."""
    field = Image.fromarray(grid)
    return np.asarray(field.resize(film.size, Image.Resampling.BILINEAR), dtype=np.float32)


def _grid(film: Image.Image) -> tuple[int, int]:
    """Rows and columns of the points that noise is drawn on."""
    scale = max(1.0, _unit(film))
    return max(1, round(film.height / scale)), max(1, round(film.width / scale))


def _noise(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    grid = rng.standard_normal(_grid(film), dtype=np.float32)
    return _film(_grey(film) + level * _field(film, grid))


def _quanta(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    rows, columns = _grid(film)
    reduced = _grey(film.resize((columns, rows), Image.Resampling.BOX))
    expected = level * np.exp(-ABSORPTION * reduced / 255)
    density = -np.log(np.maximum(rng.poisson(expected), 0.5) / level) * (255 / ABSORPTION)
    return _film(_grey(film) + _field(film, (density - reduced).astype(np.float32)))


def _jpeg(film: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    stream = io.BytesIO()
    film.save(stream, "JPEG", quality=round(level))
    with Image.open(stream) as packed:
        packed.load()
        return packed


def _resolution(film: Image.Image, level: float, _rng: np.random.Generator) -> Image.Image:
    scale = level / max(film.size)
    if scale >= 1:
        return film
    small = (max(1, round(film.width * scale)), max(1, round(film.height * scale)))
    return film.resize(small, Image.Resampling.BOX).resize(film.size, Image.Resampling.BILINEAR)


def _crop(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    width, height = round((1 - level) * film.width), round((1 - level) * film.height)
    left, top = (round(float(rng.random()) * rest) for rest in (film.width - width, film.height - height))
    return film.crop((left, top, left + width, top + height))


def _rotation(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    angle = level if _either(rng) else -level
    return film.rotate(angle, Image.Resampling.BILINEAR, fillcolor=0)


def _stretch(film: Image.Image, level: float, rng: np.random.Generator) -> Image.Image:
    factor = math.sqrt(1 + level) if _either(rng) else 1 / math.sqrt(1 + level)
    size = (max(1, round(film.width * factor)), max(1, round(film.height / factor)))
    return film.resize(size, Image.Resampling.BILINEAR)


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
