"""Projection of a chest without disease: soft tissue, lungs with their vessels, and bones."""

from dataclasses import dataclass

import numpy as np

from trainer.data.sample import bones
from trainer.data.sample.anatomy import SIDES, Anatomy, cage_half_width
from trainer.data.sample.projection import Array, Tube, View, chord, ellipsoid, smooth_step, tubes

# Linear attenuation in 1/cm at about 70 keV; bone is given as its excess over the soft tissue it lies in.
MU_SOFT = 0.19
MU_LUNG = 0.055
MU_BONE = 0.6


@dataclass(frozen=True)
class Chest:
    """Projection of a chest without disease. Arrays are ``float32``, size × size."""

    x: Array
    y: Array
    """Body coordinates."""
    attenuation: Array
    """Line integral of the attenuation coefficient, no unit."""
    lung: Array
    """Centimetres of aerated lung in the beam."""
    vessels: Array
    """Centimetres of vessel in the beam; the bronchi run beside them."""


def project(person: Anatomy, view: View) -> Chest:
    """Project a person's chest onto an image: attenuation, lung and vessels at each pixel."""
    x, y = view.grid()
    soft, lung, bone = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    # In bands that fit the processor's cache: three times as fast as whole images, and no memory to speak of.
    rows = max(1, 16_384 // view.size)
    for start in range(0, view.size, rows):
        band = slice(start, start + rows)
        soft[band], lung[band], bone[band] = _tissues(person, x[band], y[band])
    bone += bones.shoulder_joints(person, view)
    rng = np.random.default_rng(person.seed)
    # Artery, vein and the bronchus's wall run together: denser than one blood vessel.
    tree = np.float32(1.8 * person.markings) * tubes(view, _vessel_tree(person, rng))
    vessels = np.minimum(tree, np.float32(0.6) * lung)
    haze = 1 + np.float32(0.045 * person.haze) * view.texture(rng, 1.1)
    attenuation = (
        np.float32(MU_SOFT) * (soft + vessels)
        + np.float32(MU_LUNG) * lung * haze
        + np.float32(MU_BONE * person.calcium) * bone
    )
    return Chest(x=x, y=y, attenuation=attenuation, lung=lung, vessels=vessels)


def _tissues(person: Anatomy, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Centimetres of soft tissue, lung and bone in the beam."""
    cage = cage_half_width(person, y)
    lung = np.maximum(_lung(person, x, y, cage) - _mediastinum(person, x, y), 0)
    soft = _body(person, x, y, cage) - lung - _airways(person, x, y) - _bubble(person, x, y)
    bone = bones.ribs(person, x, y, cage) + bones.spine(person, x, y) + bones.clavicles(person, x, y)
    return np.maximum(soft, 0), lung, bone + bones.shoulder_blades(person, x, y)


def _lung(person: Anatomy, x: Array, y: Array, cage: Array) -> Array:
    """Both lungs as if there were no heart: between rib cage, mediastinum and diaphragm."""
    t = np.clip((np.float32(7) - y) / np.float32(7 - person.apex), 0, 1)
    t2 = t * t
    inner = np.float32(1.7) + np.float32(2.6) * np.square(t2 * t2 * t2)
    outer = np.maximum(cage - np.float32(0.15), inner + np.float32(1e-3))
    u = (np.abs(x) - inner) / (outer - inner)
    w = np.square(2 * u - 1)
    profile = np.sqrt(chord(w * np.sqrt(w)))
    thickness = np.float32(person.depth) * np.sqrt(np.maximum(1 - t * t * t, 0)) * profile
    top = np.where(x < 0, np.float32(person.domes[0]), np.float32(person.domes[1]))
    across = ((np.abs(x) - np.float32(0.5 * person.width)) / np.float32(0.62 * person.width)) ** 2
    below = (y - top) / np.float32(person.dome_height) - across
    dome = np.float32(1.15 * person.depth) * np.cbrt(np.maximum(below, 0))
    lung: Array = np.maximum(thickness - dome, 0)
    return lung


def _mediastinum(person: Anatomy, x: Array, y: Array) -> Array:
    """Heart and great vessels, which take the lungs' place."""
    h, shift = person.heart, person.yaw
    left = person.domes[1] - 4.2
    heart = ellipsoid(x, y, (2.5 * h + shift, left + 0.2), (6.6 * h, 4.3 * h, 5.5 * h), person.heart_tilt)
    atrium = ellipsoid(x, y, (-0.3 + shift, left + 0.2), (3.6 * h, 4.9 * h, 4.0 * h))
    knob = ellipsoid(x, y, (1.7, -5.3), (1.9 * person.aorta, 1.9 * person.aorta, 3.2))
    trunk = ellipsoid(x, y, (1.3 + shift, -1.4), (2.4, 3.6, 3.2), -0.5)
    cava = ellipsoid(x, y, (-0.9 + shift, -3.5), (2.2 * person.aorta, 6.5, 4.0))
    return _union(heart, atrium, knob, trunk, cava)


def _union(*parts: Array) -> Array:
    """Thickness of overlapping parts, round where two meet."""
    total = np.square(parts[0])
    for part in parts[1:]:
        total += part * part
    return np.sqrt(total)


def _airways(person: Anatomy, x: Array, y: Array) -> Array:
    """Air in the trachea and the main bronchi."""
    level = smooth_step(y, -3.6, -4.6)
    trachea = np.float32(1.5) * chord(((x - np.float32(0.2 - person.yaw * 0.3)) / np.float32(0.85)) ** 2) * level
    along = y + np.float32(4.2)
    bronchi = np.float32(1.1) * chord(((np.abs(x) - along * np.float32(0.9)) / np.float32(0.75)) ** 2)
    return trachea + bronchi * smooth_step(along, 0, 0.4) * smooth_step(along, 3.2, 2.2)


def _bubble(person: Anatomy, x: Array, y: Array) -> Array:
    """Gas in the stomach, under the diaphragm at the right of the picture."""
    if not person.bubble:
        return np.zeros_like(x)
    r = person.bubble
    centre = (0.42 * person.width, person.domes[1] + 1.3 + 0.8 * r)
    level = smooth_step(y, centre[1] + 0.6 * r, centre[1] + 0.4 * r)
    return ellipsoid(x, y, centre, (1.5 * r, r, 1.6 * r)) * level


def _body(person: Anatomy, x: Array, y: Array, cage: Array) -> Array:
    """Soft tissue from front to back, lungs included."""
    wall = person.wall
    t = np.clip((np.float32(2) - y) / np.float32(2 - person.apex + 2.5), 0, 1)
    half = np.maximum(cage, np.float32(0.7 * person.width)) + np.float32(wall)
    half = half + np.float32(2.5) * smooth_step(y, -1, person.apex + 2)
    torso = np.float32(person.depth + 2 + 2 * wall) * np.sqrt(chord(np.square(x / half))) * (1 - t * t * t)
    ax = np.abs(x)
    nape = np.float32(5 + 0.5 * wall) + np.float32(3) * np.square(smooth_step(y, person.apex - 6, person.apex + 2))
    neck = np.float32(11 + wall) * chord(np.square(x / nape))
    neck *= smooth_step(y, person.apex + 5, person.apex - 1)
    reach = person.width
    slope = ellipsoid(ax, y, (0.25 * reach, person.apex + 3.4), (0.95 * reach, 3.6 + 0.8 * wall, 4 + wall), 0.3)
    shoulder = ellipsoid(ax, y, (1.05 * reach, person.apex + 4.6), (0.6 * reach, 4.4 + wall, 4 + wall), 0.5)
    arm = ellipsoid(ax, y, (reach + 5.6, person.apex + 10), (3.3 + 0.5 * wall, 11, 4.5 + 0.5 * wall), -0.17)
    breast = ellipsoid(ax, y, (0.58 * reach, 5.0), (5.6, 4.6, 0.5 * person.breast + 1e-3))
    return _union(torso, neck, slope, shoulder, arm) + breast


def _vessel_tree(person: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Arteries and veins fanning out from both hila, as tapering tubes."""
    tree: list[Tube] = []
    for side in SIDES:
        hilum = (side * (3.4 + 0.2 * person.yaw * side), -1.2 if side < 0 else -1.9)
        for direction in np.linspace(-1.25, 1.35, 7):
            angle = float(direction + rng.normal(0, 0.1))
            start = (
                hilum[0] + side * rng.uniform(-0.3, 0.4),
                hilum[1] + 1.5 * direction + rng.normal(0, 0.2),
            )
            thick = rng.uniform(0.5, 0.75) * (1.15 if direction > 0.2 else 0.85)
            tree += _branch(rng, side, start, angle, thick, rng.uniform(2.4, 3.2))
    return tree


def _branch(
    rng: np.random.Generator, side: int, start: tuple[float, float], angle: float, radius: float, length: float
) -> list[Tube]:
    """One vessel and, after it, the two that it forks into, down to those that are too thin to be seen."""
    if radius < 0.17:
        return []
    bend = angle + float(rng.normal(0, 0.1))
    end = (start[0] + side * float(np.cos(bend)) * length, start[1] + float(np.sin(bend)) * length)
    fork = float(rng.uniform(0.25, 0.55)) * (1 if rng.random() < 0.5 else -1)
    shorter = length * float(rng.uniform(0.7, 0.95))
    return [
        Tube(start, end, (radius, 0.85 * radius)),
        *_branch(rng, side, end, bend - 0.35 * fork, 0.79 * radius, shorter),
        *_branch(rng, side, end, bend + fork, 0.52 * radius, shorter),
    ]
