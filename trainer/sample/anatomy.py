"""A chest without disease: what varies from patient to patient, and its projection."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from trainer.sample.projection import Array, Tube, View, chord, ellipsoid, hollow, smooth_step, tubes

# Linear attenuation in 1/cm at about 70 keV; bone is given as its excess over the soft tissue it lies in.
MU_SOFT = 0.19
MU_LUNG = 0.055
MU_BONE = 0.6

SIDES = (-1, 1)
"""The picture's left (the patient's right lung) and the picture's right."""


@dataclass(frozen=True)
class Anatomy:
    """A person's chest, in centimetres unless said otherwise."""

    width: float
    """Half width of the inner rib cage at its widest."""
    apex: float
    """y of the lungs' tops."""
    depth: float
    """Largest thickness of a lung along the beam."""
    wall: float
    """Soft tissue outside the ribs."""
    domes: tuple[float, float]
    """y of the diaphragm's tops, picture's left and right."""
    dome_height: float
    heart: float
    """Size of the heart, 1 on average."""
    heart_tilt: float
    """Radians."""
    aorta: float
    rib_spacing: float
    rib_drop: float
    """How far a rib descends from the spine to the flank."""
    rib_radius: float
    rib_offsets: tuple[float, ...]
    calcium: float
    """Density of bone, 1 on average."""
    spine_bend: float
    clavicle_rise: float
    breast: float
    """Thickness of each breast; 0 for none."""
    bubble: float
    """Radius of the gas bubble in the stomach."""
    markings: float
    """Prominence of the lungs' vessels, 1 on average."""
    haze: float
    """Strength of the uneven background of the lungs."""
    yaw: float
    """Shift of what lies in front against the spine, from a slightly turned stance."""
    seed: int
    """Of vessels and textures."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A random person."""
        build = rng.normal()
        right = 8.2 + rng.normal(0, 0.7)
        return cls(
            width=float(np.clip(12.9 + 0.7 * build + rng.normal(0, 0.4), 11, 15)),
            apex=float(-12.2 + rng.normal(0, 0.6)),
            depth=float(17 + 1.0 * build),
            wall=float(np.clip(rng.normal(2.6, 0.8), 1.3, 5)),
            domes=(right, right + float(np.clip(rng.normal(0.9, 0.5), -0.2, 2))),
            dome_height=float(rng.uniform(3.2, 5)),
            heart=float(np.clip(rng.normal(1, 0.09), 0.8, 1.25)),
            heart_tilt=float(rng.uniform(0.55, 1.0)),
            aorta=float(np.clip(rng.normal(1, 0.15), 0.7, 1.5)),
            rib_spacing=float(rng.uniform(2.0, 2.4)),
            rib_drop=float(rng.uniform(3.4, 5.6)),
            rib_radius=float(rng.uniform(0.48, 0.62)),
            rib_offsets=tuple(rng.normal(0, 0.1, 16).tolist()),
            calcium=float(np.clip(rng.normal(1, 0.15), 0.65, 1.4)),
            spine_bend=float(rng.normal(0, 0.25)),
            clavicle_rise=float(rng.uniform(0.6, 3.4)),
            breast=float(max(0.0, rng.normal(0.8, 1.3))),
            bubble=float(rng.choice([0, rng.uniform(0.9, 2.2)])),
            markings=float(np.clip(rng.lognormal(0, 0.25), 0.5, 1.5)),
            haze=float(rng.lognormal(-0.1, 0.35)),
            yaw=float(rng.normal(0, 0.25)),
            seed=int(rng.integers(2**31)),
        )

    def restand(self, rng: np.random.Generator) -> Self:
        """The same person on another occasion: breath and stance differ."""
        breath = float(rng.normal(0, 0.8))
        return replace(
            self,
            domes=(self.domes[0] + breath, self.domes[1] + breath),
            heart=self.heart * (1 - 0.02 * breath),
            rib_drop=self.rib_drop - 0.3 * breath,
            yaw=self.yaw + float(rng.normal(0, 0.25)),
            bubble=self.bubble * float(rng.uniform(0.8, 1.2)),
        )

    def lung_point(self, side: int, across: float, down: float) -> tuple[float, float]:
        """Body coordinates of a place in a lung: across 0 (heart) to 1 (flank), down 0 (top) to 1 (diaphragm)."""
        y = self.apex + down * (self.domes[0 if side < 0 else 1] - self.apex)
        flank = 0.95 * float(_cage(self, np.array(y, np.float32)))
        return side * (2.5 + across * max(flank - 2.5, 0.5)), y


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
    """The person's attenuation on a film."""
    x, y = view.grid()
    soft, lung, bone = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    # In bands that fit the processor's cache: three times as fast as whole films, and no memory to speak of.
    rows = max(1, 16_384 // view.size)
    for start in range(0, view.size, rows):
        band = slice(start, start + rows)
        soft[band], lung[band], bone[band] = _tissues(person, x[band], y[band])
    bone += _shoulder_joints(person, view)
    rng = np.random.default_rng(person.seed)
    # Artery, vein and the bronchus's wall run together: denser than one blood vessel.
    tree = np.float32(1.8 * person.markings) * tubes(view, _vessel_tree(person, rng))
    vessels = np.minimum(tree, np.float32(0.6) * lung)
    haze = 1 + np.float32(0.06 * person.haze) * view.texture(rng, 1.1)
    attenuation = (
        np.float32(MU_SOFT) * (soft + vessels)
        + np.float32(MU_LUNG) * lung * haze
        + np.float32(MU_BONE * person.calcium) * bone
    )
    return Chest(x=x, y=y, attenuation=attenuation, lung=lung, vessels=vessels)


def _tissues(person: Anatomy, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Centimetres of soft tissue, lung and bone in the beam."""
    cage = _cage(person, y)
    lung = np.maximum(_lung(person, x, y, cage) - _mediastinum(person, x, y), 0)
    soft = _body(person, x, y, cage) - lung - _airways(person, x, y) - _bubble(person, x, y)
    bone = _ribs(person, x, y, cage) + _spine(person, x, y) + _clavicles(person, x, y)
    return np.maximum(soft, 0), lung, bone + _shoulder_blades(person, x, y)


def _cage(person: Anatomy, y: Array) -> Array:
    """Inner half width of the rib cage at each pixel's height."""
    widest = 7.0
    t = np.clip((np.float32(widest) - y) / np.float32(widest - person.apex + 1.3), 0, 1)
    half: Array = np.float32(person.width) * np.maximum(1 - t**2.7, 1e-4) ** 0.55
    return half


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
    trachea = (
        np.float32(1.5) * chord(((x - np.float32(0.2 - person.yaw * 0.3)) / np.float32(0.85)) ** 2) * level
    )
    along = y + np.float32(4.2)
    bronchi = np.float32(1.1) * chord(((np.abs(x) - along * np.float32(0.9)) / np.float32(0.75)) ** 2)
    return trachea + bronchi * smooth_step(along, 0, 0.4) * smooth_step(along, 3.2, 2.2)


def _bubble(person: Anatomy, x: Array, y: Array) -> Array:
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
    deep = np.float32(person.depth + 2 + 2 * wall) * np.sqrt(np.maximum(1 - t * t * t, 0))
    half = np.maximum(cage, np.float32(0.7 * person.width)) + np.float32(wall)
    half = half + np.float32(2.5) * smooth_step(y, -1, person.apex + 2)
    torso = deep * np.sqrt(chord(np.square(x / half)))
    ax = np.abs(x)
    neck = np.float32(11 + wall) * chord((x / np.float32(5.0 + 0.5 * wall)) ** 2)
    neck *= smooth_step(y, person.apex + 5, person.apex - 1)
    reach = person.width
    slope = ellipsoid(
        ax, y, (0.25 * reach, person.apex + 3.4), (0.95 * reach, 3.6 + 0.8 * wall, 4 + wall), 0.3
    )
    shoulder = ellipsoid(ax, y, (1.05 * reach, person.apex + 4.6), (0.6 * reach, 4.4 + wall, 4 + wall), 0.5)
    arm = ellipsoid(ax, y, (reach + 5.6, person.apex + 10), (3.3 + 0.5 * wall, 11, 4.5 + 0.5 * wall), -0.17)
    breast = ellipsoid(ax, y, (0.58 * reach, 5.0), (5.6, 4.6, 0.5 * person.breast + 1e-3))
    return _union(torso, neck, slope, shoulder, arm) + breast


def _ribs(person: Anatomy, x: Array, y: Array, cage: Array) -> Array:
    """All ribs at once: tilted rings on the rib cage, each seen twice, behind and in front.

    A ring leaves the spine at ``y_k`` and descends with the angle round the chest to the power 1.5, so a pixel
    tells its rib by subtracting that from its y, and no loop over ribs is needed.
    """
    outer, depth, plate = cage + np.float32(0.55), 0.45 * person.depth, 0.75
    ax = np.abs(x)
    cos = chord((ax / outer) ** 2)
    inside = chord((ax / np.maximum(outer - np.float32(plate), np.float32(0.1))) ** 2)
    shell = np.minimum(np.float32(depth + plate) * cos - np.float32(depth) * inside, np.float32(1.9))
    angle = np.arcsin(np.minimum(ax / outer, np.float32(1)))
    speed = np.float32(person.rib_drop / 1.9) / np.maximum(outer * cos, np.float32(0.5))
    bump = np.float32(0.16) * ax * np.exp(-ax / np.float32(3))
    offsets = np.asarray(person.rib_offsets, np.float32)
    first = person.apex - 0.6
    total = np.zeros_like(x)
    for sign, radius, density in ((1, person.rib_radius, 1.0), (-1, person.rib_radius * 1.15, 0.8)):
        turn = angle if sign > 0 else np.float32(np.pi) - angle
        fall = np.float32(person.rib_drop / 1.9) * turn * np.sqrt(turn)
        lean = 1 / np.sqrt(1 + (np.float32(1.5) * speed) ** 2 * turn)
        p = (y - fall + bump - np.float32(first)) / np.float32(person.rib_spacing)
        number = np.clip(np.rint(p), 0, 11 if sign > 0 else 7)
        distance = (p - number) * np.float32(person.rib_spacing) - offsets[number.astype(np.intp)]
        part = np.float32(density) * shell * hollow(distance * lean, radius)
        if sign < 0:  # towards the breastbone a rib becomes cartilage, which hardly shows
            part *= smooth_step(ax / np.maximum(outer, np.float32(1)), 0.3, 0.62)
        total += part
    total *= smooth_step(ax, 0.8, 1.6)
    return total


def _spine(person: Anatomy, x: Array, y: Array) -> Array:
    """Vertebral bodies, discs, pedicles and spinous processes."""
    dx = x - np.float32(person.spine_bend) * np.sin(y * np.float32(0.16)) + np.float32(0.4 * person.yaw)
    half = np.float32(1.45) + np.float32(0.022) * y
    period = np.float32(2.25)
    phase = y / period + np.float32(person.rib_offsets[0])
    phase = phase - np.floor(phase) - np.float32(0.5)
    body = np.float32(0.9) * np.sqrt(chord((dx / half) ** 2))
    body *= 1 - np.float32(0.55) * np.exp(-(((np.abs(phase) - np.float32(0.5)) / np.float32(0.1)) ** 2))
    height = np.exp(-((phase / np.float32(0.2)) ** 2))
    pedicles = np.exp(-(((np.abs(dx) - np.float32(0.65) * half) / np.float32(0.22)) ** 2))
    process = np.exp(-((dx / np.float32(0.25)) ** 2))
    body += np.float32(0.4) * height * (pedicles + np.float32(0.8) * process)
    return body


def _clavicles(person: Anatomy, x: Array, y: Array) -> Array:
    ax = np.abs(x - np.float32(1.2 * person.yaw))
    t = (ax - np.float32(1.6)) / np.float32(person.width)
    line = np.float32(person.apex + 3.6) - np.float32(person.clavicle_rise) * t
    line -= np.float32(0.55) * np.sin(np.float32(6.0) * t)
    radius = 0.55
    bone = np.float32(1.6) * hollow(y - line, radius)
    return bone * smooth_step(t, -0.03, 0.03) * smooth_step(t, 1.1, 1.0)


def _shoulder_blades(person: Anatomy, x: Array, y: Array) -> Array:
    """Thin plates beside the upper lungs, and the heads of the upper arms."""
    ax, reach, top = np.abs(x), person.width, person.apex + 2.2
    inner = np.float32(0.80 * reach) + np.float32(0.1) * (y - np.float32(top)) - ax
    lower = (y - np.float32(top + 9)) * np.float32(0.5) + (ax - np.float32(0.9 * reach)) * np.float32(0.85)
    edge = np.maximum(np.maximum(inner, lower), np.float32(top) - y)
    plate = np.float32(0.16) * smooth_step(edge, 0.1, -0.15)
    plate += np.float32(0.16) * np.exp(-np.square((edge + np.float32(0.2)) / np.float32(0.2)))
    return plate + ellipsoid(ax, y, (reach + 3.4, person.apex + 2.6), (2.2, 2.3, 0.9))


def _shoulder_joints(person: Anatomy, view: View) -> Array:
    """Spines of the shoulder blades and shafts of the upper arms."""
    reach, top = person.width, person.apex + 2.2
    bones = []
    for s in SIDES:
        bones.append(Tube((s * 0.84 * reach, top + 1.6), (s * (reach + 2.4), top - 1.4), (0.2, 0.34)))
        bones.append(Tube((s * (reach + 3.9), top + 1.5), (s * (reach + 6), top + 16), (1.0, 1.0)))
    return tubes(view, bones)


def _vessel_tree(person: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Arteries and veins fanning out from both hila, as tapering tubes."""
    found: list[Tube] = []
    for side in SIDES:
        hilum = (side * (3.4 + 0.2 * person.yaw * side), -1.2 if side < 0 else -1.9)
        for direction in np.linspace(-1.25, 1.35, 7):
            angle = float(direction + rng.normal(0, 0.1))
            start = (
                hilum[0] + side * rng.uniform(-0.3, 0.4),
                hilum[1] + 1.5 * direction + rng.normal(0, 0.2),
            )
            thick = rng.uniform(0.5, 0.75) * (1.15 if direction > 0.2 else 0.85)
            _branch(found, rng, side, start, angle, thick, rng.uniform(2.4, 3.2))
    return found


def _branch(
    found: list[Tube],
    rng: np.random.Generator,
    side: int,
    start: tuple[float, float],
    angle: float,
    radius: float,
    length: float,
) -> None:
    if radius < 0.14:
        return
    bend = angle + float(rng.normal(0, 0.1))
    end = (start[0] + side * float(np.cos(bend)) * length, start[1] + float(np.sin(bend)) * length)
    found.append(Tube(start, end, (radius, 0.85 * radius)))
    fork = float(rng.choice((-1, 1)) * rng.uniform(0.25, 0.55))
    shorter = length * float(rng.uniform(0.7, 0.95))
    _branch(found, rng, side, end, bend - 0.35 * fork, 0.79 * radius, shorter)
    _branch(found, rng, side, end, bend + fork, 0.52 * radius, shorter)
