"""Pneumonia and tuberculosis: where their lesions lie, how dense they are, and what they add to a projected chest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer.data.sample.anatomy import SIDES, Anatomy
from trainer.data.sample.chest import MU_LUNG, MU_SOFT, Chest
from trainer.data.sample.projection import Array, View, chord, squared_radius

LABELS = ("NORMAL", "PNEUMONIA", "TUBERCULOSIS")


@dataclass(frozen=True)
class Focus:
    """One lesion. Lengths are centimetres."""

    kind: Literal["infiltrate", "nodule", "cavity"]
    at: tuple[float, float]
    radius: tuple[float, float]
    """Across and along the tilted axes; for a nodule or a cavity both are the same."""
    tilt: float
    """Radians."""
    thickness: float
    """Infiltrate: consolidated lung in the beam at its middle. Nodule, cavity: factor on its own density."""
    wall: float = 0.0
    """Of a cavity."""


@dataclass(frozen=True)
class Disease:
    """All lesions of a patient; none for a healthy one."""

    foci: tuple[Focus, ...]
    grain: float
    """Of the infiltrates' texture, in centimetres."""
    roughness: float
    """Of the infiltrates' texture: share of the density that varies."""
    seed: int
    """Of the infiltrates' texture."""


def draw(label: str, person: Anatomy, rng: np.random.Generator) -> Disease:
    """A random course of the disease ``label``, from hardly visible to severe."""
    severity = 0.15 + 0.85 * float(rng.beta(1.8, 0.9))
    return _DRAW[label](person, severity, rng)


def _healthy(_person: Anatomy, _severity: float, _rng: np.random.Generator) -> Disease:
    """No lesion at all."""
    return Disease((), 1.0, 0.0, 0)


def _pneumonia(person: Anatomy, severity: float, rng: np.random.Generator) -> Disease:
    """One lobe, or patches in one or both lungs; lower and middle zones in six of seven patients."""
    side = int(rng.choice(SIDES))
    lobar = rng.random() < 0.45
    upper = rng.random() < 0.14
    down = float(rng.uniform(0.12, 0.35) if upper else rng.uniform(0.48, 0.92))
    foci: list[Focus] = []
    if lobar:
        size = rng.uniform(3.2, 4.4) + 1.6 * severity
        at = person.lung_point(side, float(rng.uniform(0.25, 0.75)), down)
        radius = (float(size), float(size * rng.uniform(0.55, 0.9)))
        foci.append(Focus("infiltrate", at, radius, float(rng.normal(0, 0.4)), 18.0 * severity))
    for _ in range(int(rng.integers(1, 4)) if lobar else int(rng.integers(3, 8))):
        lung = side if lobar or rng.random() < 0.65 else -side
        at = person.lung_point(
            lung, float(rng.uniform(0.1, 0.9)), float(np.clip(down + rng.normal(0, 0.13), 0.1, 0.97))
        )
        radius = (float(rng.uniform(1.8, 3.6)), float(rng.uniform(1.5, 2.8)))
        thickness = severity * float(rng.uniform(9.0, 16.0))
        foci.append(Focus("infiltrate", at, radius, float(rng.uniform(0, np.pi)), thickness))
    return Disease(tuple(foci), float(rng.uniform(0.7, 1.6)), float(rng.uniform(0.15, 0.4)), _seed(rng))


def _tuberculosis(person: Anatomy, severity: float, rng: np.random.Generator) -> Disease:
    """Streaky infiltrates, nodules and cavities; upper zones in eight of nine patients."""
    side = int(rng.choice(SIDES))
    both = rng.random() < 0.4
    lower = rng.random() < 0.11

    def place() -> tuple[float, float]:
        lung = -side if both and rng.random() < 0.4 else side
        down = rng.uniform(0.4, 0.62) if lower else 0.06 + 0.32 * rng.beta(1.3, 1.5)
        return person.lung_point(lung, float(rng.uniform(0.1, 0.9)), float(down))

    foci = []
    for _ in range(int(rng.integers(3, 8))):
        radius = (float(rng.uniform(0.8, 2.3)), float(rng.uniform(0.6, 1.5)))
        thickness = severity * float(rng.uniform(6.0, 14.0))
        foci.append(Focus("infiltrate", place(), radius, float(rng.uniform(0, np.pi)), thickness))
    if rng.random() < 0.65:
        for _ in range(int(2 + 12 * severity * rng.random())):
            r = float(rng.uniform(0.25, 0.75))
            foci.append(Focus("nodule", place(), (r, r), 0.0, 0.9 + 1.2 * severity))
    if rng.random() < 0.3 + 0.5 * severity:
        for _ in range(1 + int(rng.random() < 0.25)):
            r = float(rng.uniform(0.9, 2.1))
            wall = float(rng.uniform(0.2, 0.45)) * min(r, 1.4)
            foci.append(Focus("cavity", place(), (r, r), 0.0, 0.6 + 1.2 * severity, wall))
    return Disease(tuple(foci), float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.5, 0.9)), _seed(rng))


_DRAW: dict[str, Callable[[Anatomy, float, np.random.Generator], Disease]] = {
    "NORMAL": _healthy,
    "PNEUMONIA": _pneumonia,
    "TUBERCULOSIS": _tuberculosis,
}


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def affect(chest: Chest, disease: Disease, view: View) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Attenuation with the disease, ``float32``, and where it lies, ``bool``, both size × size."""
    infiltrate, solid, extent = (np.zeros_like(chest.lung) for _ in range(3))
    for focus in disease.foci:
        reach = 2.2 * max(focus.radius)
        window = view.window(*focus.at, reach)
        square = squared_radius(chest.x[window], chest.y[window], focus.at, focus.radius, focus.tilt)
        if focus.kind == "infiltrate":
            profile = np.exp(-square * np.sqrt(square))  # flatter in the middle than a Gaussian
            infiltrate[window] += np.float32(focus.thickness) * profile
            extent[window] = np.maximum(extent[window], profile)
        else:
            solid[window] += np.float32(focus.thickness) * _shell(focus, square)
            extent[window] = np.maximum(extent[window], chord(square))
    if disease.foci:
        rng = np.random.default_rng(disease.seed)
        infiltrate *= np.maximum(1 + np.float32(disease.roughness) * view.texture(rng, disease.grain), 0)
    # Lung can be filled only where there is lung, and never quite: dense consolidation evens out.
    room = np.float32(0.65) * chest.lung + np.float32(1e-3)
    filled = room * (1 - np.exp(-np.maximum(infiltrate + solid, 0) / room))
    # Air bronchogram: in airless lung the vessels no longer stand out, and the bronchi beside them are dark.
    airless = np.clip(infiltrate / np.float32(6), 0, 1)
    added: Array = np.float32(MU_SOFT - MU_LUNG) * filled - np.float32(MU_SOFT) * airless * chest.vessels
    attenuation: Array = chest.attenuation + added
    return attenuation, (extent > np.float32(0.35)) & (chest.lung > np.float32(1))


def _shell(focus: Focus, square: Array) -> Array:
    """Thickness of a solid ball, or of a cavity's wall round air."""
    r = focus.radius[0]
    ball = np.float32(2 * r) * chord(square)
    if not focus.wall:
        return ball
    inner = r - focus.wall
    air = np.float32(2 * inner) * chord(square * np.float32((r / inner) ** 2))
    shell: Array = ball - np.float32(1.15) * air
    return shell
