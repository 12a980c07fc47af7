"""Hospitals: how each one's X-ray machine and habits turn a map of attenuation into a picture."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from trainer.data.sample.projection import FIELD, Array


@dataclass(frozen=True)
class Hospital:
    """One hospital's machine. Lengths are centimetres on the image."""

    name: str
    energy: float
    """Factor on the attenuation: soft beams have more contrast."""
    scatter: float
    """Scattered radiation as a share of the primary."""
    dose: float
    """Photons a square millimetre behind nothing; sets the noise."""
    blur: float
    """Standard deviation of the detector's point spread."""
    sharpening: float
    """Strength of the processing's edge enhancement."""
    gamma: float
    """Exponent of the grey scale."""
    steepness: float
    """Of the S-shaped image curve."""
    black: float
    white: float
    """Grey levels, 0 to 1, of the image's base and its brightest parts."""
    border: tuple[float, float, float, float]
    """Collimation: width of the black border, left, top, right, bottom."""
    marker: str
    """Burnt-in letter, R or L."""
    marker_at: tuple[float, float]
    """Centre of the burnt-in letter as a share of the side; the letter tells the side it lies on."""
    marker_height: float

    @classmethod
    def numbered(cls, index: int) -> Self:
        """The ``index``-th hospital, the same one in every set. Its habits are random."""
        rng = np.random.default_rng((2041, index))
        right = bool(rng.random() < 0.6)
        across = float(rng.uniform(0.07, 0.16))
        left, top, right_border = rng.uniform(0, 1.6, 3).tolist()
        return cls(
            name=f"hospital-{chr(ord('a') + index)}",
            energy=float(rng.uniform(0.8, 1.1)),
            scatter=float(rng.uniform(0.1, 0.5)),
            dose=float(rng.uniform(8_000, 60_000)),
            blur=float(rng.uniform(0.03, 0.1)),
            sharpening=float(rng.uniform(0, 0.5)),
            gamma=float(rng.uniform(0.75, 1.25)),
            steepness=float(rng.uniform(0.8, 2.6)),
            black=float(rng.uniform(0, 0.06)),
            white=float(rng.uniform(0.88, 1)),
            border=(left, top, right_border, 0.6 * top),
            marker="R" if right else "L",
            marker_at=(across if right else 1 - across, float(rng.uniform(0.08, 0.22))),
            marker_height=float(rng.uniform(1.3, 2.4)),
        )

    def expose(self, attenuation: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """The picture, ``uint8``, of a size × size attenuation map."""
        size = attenuation.shape[0]
        primary = np.exp(np.float32(-self.energy * rng.normal(1, 0.03)) * attenuation)
        signal = primary + np.float32(self.scatter) * _wide_blur(primary)
        signal = ndimage.gaussian_filter(signal, self.blur / FIELD * size)
        photons = self.dose * float(rng.lognormal(0, 0.3)) * (10 * FIELD / size) ** 2
        noise = rng.standard_normal(signal.shape, dtype=np.float32)
        signal = np.maximum(signal + np.sqrt(signal / np.float32(photons)) * noise, np.float32(1e-5))
        picture = self._develop(-np.log(signal), rng)
        return self._finish((picture * np.float32(255)).round().astype(np.uint8))

    def _develop(self, density: Array, rng: np.random.Generator) -> Array:
        """Window, edge enhancement and image curve: 0 (black) to 1 (white)."""
        size = density.shape[0]
        if self.sharpening:
            density = density + np.float32(self.sharpening) * (density - ndimage.gaussian_filter(density, size / 90))
        # The exposure meter looks at the middle of the image, and its operator's hand is not quite steady.
        middle = density[size // 6 : -size // 6 : 4, size // 6 : -size // 6 : 4]
        low, high = np.quantile(middle, (0.04, 0.985))
        span = high - low
        low, high = low - span * rng.normal(0.42, 0.07), high + span * rng.normal(0.06, 0.05)
        value = np.clip((density - np.float32(low)) / np.float32(high - low), 0, 1)
        value = value ** np.float32(self.gamma * rng.lognormal(0, 0.08))
        curve = np.tanh(np.float32(self.steepness) * (value - np.float32(0.5))) / np.tanh(self.steepness / 2)
        value = np.float32(0.5) * (1 + curve.astype(np.float32))
        grey: Array = np.float32(self.black) + np.float32(self.white - self.black) * value
        return grey

    def _finish(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture with its black border and the burnt-in marker."""
        size = picture.shape[0]
        left, top, right, bottom = (round(width / FIELD * size) for width in self.border)
        framed = np.zeros_like(picture)
        window = (slice(top, size - bottom), slice(left, size - right))
        framed[window] = picture[window]
        image = Image.fromarray(framed)
        font = ImageFont.load_default(max(5.0, self.marker_height / FIELD * size))
        at = (self.marker_at[0] * size, self.marker_at[1] * size)
        ImageDraw.Draw(image).text(at, self.marker, fill=250, font=font, anchor="mm")
        return np.asarray(image)


def _wide_blur(signal: Array) -> Array:
    """Scattered radiation spreads over centimetres: blurred at low resolution, which is much cheaper."""
    size = signal.shape[0]
    small = Image.fromarray(signal).resize((32, 32), Image.Resampling.BOX)
    blurred = ndimage.gaussian_filter(np.asarray(small), 2.2)
    return np.asarray(Image.fromarray(blurred).resize((size, size), Image.Resampling.BILINEAR))
