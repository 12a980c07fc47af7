"""A person's chest without disease, as numbers that vary from one person to another."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from trainer.data.sample.projection import Array

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
    """Height of the diaphragm's domes over their edges."""
    heart: float
    """Size of the heart, 1 on average."""
    heart_tilt: float
    """Radians."""
    aorta: float
    """Width of the aorta, 1 on average."""
    rib_spacing: float
    """Distance from one rib to the next at the spine."""
    rib_drop: float
    """How far a rib descends from the spine to the flank."""
    rib_radius: float
    """Half the thickness of a rib."""
    rib_offsets: tuple[float, ...]
    """How far each rib lies off the regular spacing."""
    calcium: float
    """Density of bone, 1 on average."""
    spine_bend: float
    """Sideways swing of the spine."""
    clavicle_rise: float
    """How much higher a collar bone lies at the shoulder than at the breastbone."""
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
        """The same person on another day: breath and stance differ, the body does not."""
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
        flank = 0.95 * float(cage_half_width(self, np.array(y, np.float32)))
        return side * (2.5 + across * max(flank - 2.5, 0.5)), y


def cage_half_width(person: Anatomy, y: Array) -> Array:
    """Inner half width of the rib cage at each pixel's height."""
    widest = 7.0
    t = np.clip((np.float32(widest) - y) / np.float32(widest - person.apex + 1.3), 0, 1)
    half: Array = np.float32(person.width) * np.maximum(1 - t**2.7, 1e-4) ** 0.55
    return half
