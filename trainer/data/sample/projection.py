"""Thickness of simple bodies (ellipsoids, tubes) along a parallel beam, in closed form for each pixel.

Beer-Lambert's law turns the sum of these thicknesses into a radiograph.

Lengths are centimetres in the body's frame: x to the right of the picture (the patient's left), y downwards,
origin in the middle of the chest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]

FIELD = 39.0
"""Side of the image in centimetres at zoom 1."""


@dataclass(frozen=True)
class View:
    """How the body lies on a square image of ``size`` pixels."""

    size: int
    zoom: float = 1.0
    angle: float = 0.0
    """Rotation in the image's plane, in radians."""
    dx: float = 0.0
    dy: float = 0.0
    """Shift on the image in centimetres."""

    @property
    def pixel(self) -> float:
        """Side of a pixel in the body's centimetres."""
        return FIELD / self.size / self.zoom

    def grid(self) -> tuple[Array, Array]:
        """Body coordinates x and y of the pixel centres, two ``float32`` arrays of size × size."""
        axis = (((np.arange(self.size) + 0.5) / self.size - 0.5) * FIELD).astype(np.float32)
        u, v = (axis - self.dx)[None, :] / self.zoom, (axis - self.dy)[:, None] / self.zoom
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return (cos * u + sin * v).astype(np.float32), (cos * v - sin * u).astype(np.float32)

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Column and row, in pixels, of a point of the body."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u, v = (cos * x - sin * y) * self.zoom + self.dx, (sin * x + cos * y) * self.zoom + self.dy
        return float((u / FIELD + 0.5) * self.size - 0.5), float((v / FIELD + 0.5) * self.size - 0.5)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the square that reaches ``reach`` centimetres around a point of the body."""
        column, row = self.to_pixels(x, y)
        half = reach / self.pixel + 1
        return (
            slice(max(0, int(row - half)), max(0, int(row + half) + 2)),
            slice(max(0, int(column - half)), max(0, int(column + half) + 2)),
        )

    def texture(self, rng: np.random.Generator, grain: float) -> Array:
        """Smooth Gaussian random field fixed to the body: mean 0, deviation about 1, ``grain`` centimetres.

        The same ``rng`` state gives the same field at every image size and pose.
        """
        side = int(np.ceil(1.5 * FIELD / grain)) + 4
        lattice = Image.fromarray(rng.standard_normal((side, side)).astype(np.float32))
        step = self.pixel / grain
        a, b = step * np.cos(self.angle), step * np.sin(self.angle)
        # Pillow counts from the corner of the first pixel, to_pixels from its middle.
        column, row = (position + 0.5 for position in self.to_pixels(0.0, 0.0))
        data = (
            a, b, side / 2 - a * column - b * row,
            -b, a, side / 2 + b * column - a * row,
        )  # fmt: skip
        field = lattice.transform((self.size, self.size), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
        texture: Array = np.asarray(field, dtype=np.float32) * np.float32(1.3)
        return texture


def chord(square: Array) -> Array:
    """Half chord of a unit circle at squared distance ``square`` from its centre; 0 outside."""
    half: Array = np.sqrt(np.maximum(1 - square, 0))
    return half


def squared_radius(
    x: Array, y: Array, centre: tuple[float, float], axes: tuple[float, float], tilt: float = 0.0
) -> Array:
    """Squared distance from the middle of a tilted ellipse, 1 on its edge."""
    u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
    if tilt:
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        u, v = cos * u + sin * v, cos * v - sin * u
    square: Array = (u / np.float32(axes[0])) ** 2 + (v / np.float32(axes[1])) ** 2
    return square


def ellipsoid(
    x: Array, y: Array, centre: tuple[float, float], axes: tuple[float, float, float], tilt: float = 0.0
) -> Array:
    """Thickness of an ellipsoid with semi-axes (along x, along y, along the beam), tilted in the plane."""
    return np.float32(2 * axes[2]) * chord(squared_radius(x, y, centre, axes[:2], tilt))


def smooth_step(values: Array, start: float, end: float) -> Array:
    """0 before ``start``, 1 after ``end``, smooth between; ``end`` may be the smaller one."""
    t: Array = np.clip((values - np.float32(start)) / np.float32(end - start), 0, 1)
    return t * t * (np.float32(3) - np.float32(2) * t)


def hollow(distance: Array, radius: float) -> Array:
    """Thickness across a bone, 0 to 1, at a distance from its middle line: a dense rind round a lighter core."""
    square = (distance / np.float32(radius)) ** 2
    return chord(square) - np.float32(0.55) * chord(square * np.float32(1 / 0.72**2))


@dataclass(frozen=True)
class Tube:
    """A straight, tapering tube."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: tuple[float, float]
    """At the start and at the end."""


def tubes(view: View, segments: list[Tube]) -> Array:
    """Summed thickness of tubes with soft edges, in centimetres.

    A tube thinner than a pixel is drawn a pixel wide and as much fainter.
    """
    canvas = np.zeros((view.size, view.size), np.float32)
    for tube in segments:
        _add_tube(canvas, view, tube)
    return canvas


def _add_tube(canvas: Array, view: View, tube: Tube) -> None:
    (x0, y0), (x1, y1) = view.to_pixels(*tube.start), view.to_pixels(*tube.end)
    r0, r1 = tube.radius[0] / view.pixel, tube.radius[1] / view.pixel
    margin = 2 * max(r0, 0.7) + 1
    left, right = int(max(0, min(x0, x1) - margin)), int(min(view.size, max(x0, x1) + margin + 2))
    top, bottom = int(max(0, min(y0, y1) - margin)), int(min(view.size, max(y0, y1) + margin + 2))
    if left >= right or top >= bottom:
        return
    u = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x0)
    v = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y0)
    ax, ay = x1 - x0, y1 - y0
    length = max(float(np.hypot(ax, ay)), 1e-3)
    along = np.clip((u * np.float32(ax) + v * np.float32(ay)) / np.float32(length**2), 0, 1)
    radius = np.float32(r0) + np.float32(r1 - r0) * along
    width = np.maximum(radius, np.float32(0.7))
    square = (u - along * np.float32(ax)) ** 2 + (v - along * np.float32(ay)) ** 2
    # A Gaussian across the tube with a cylinder's area (pi r^2) instead of its hard edge.
    profile = np.float32(np.sqrt(np.pi)) * radius**2 / width * np.exp(-square / width**2)
    window = canvas[top:bottom, left:right]
    # The larger of the two, so that a joint is not brighter than its tubes.
    np.maximum(window, profile * np.float32(view.pixel), out=window)
