"""Thickness of the bones in the beam."""

import numpy as np

from trainer.data.sample.anatomy import SIDES, Anatomy
from trainer.data.sample.projection import Array, Tube, View, chord, ellipsoid, hollow, smooth_step, tubes


def ribs(person: Anatomy, x: Array, y: Array, cage: Array) -> Array:
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


def spine(person: Anatomy, x: Array, y: Array) -> Array:
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


def clavicles(person: Anatomy, x: Array, y: Array) -> Array:
    """Collar bones: two slightly bent tubes from the breastbone to the shoulders."""
    ax = np.abs(x - np.float32(1.2 * person.yaw))
    t = (ax - np.float32(1.6)) / np.float32(person.width)
    line = np.float32(person.apex + 3.6) - np.float32(person.clavicle_rise) * t
    line -= np.float32(0.55) * np.sin(np.float32(6.0) * t)
    radius = 0.55
    bone = np.float32(1.6) * hollow(y - line, radius)
    return bone * smooth_step(t, -0.03, 0.03) * smooth_step(t, 1.1, 1.0)


def shoulder_blades(person: Anatomy, x: Array, y: Array) -> Array:
    """Thin plates beside the upper lungs, and the heads of the upper arms."""
    ax, reach, top = np.abs(x), person.width, person.apex + 2.2
    inner = np.float32(0.80 * reach) + np.float32(0.1) * (y - np.float32(top)) - ax
    lower = (y - np.float32(top + 9)) * np.float32(0.5) + (ax - np.float32(0.9 * reach)) * np.float32(0.85)
    edge = np.maximum(np.maximum(inner, lower), np.float32(top) - y)
    plate = np.float32(0.16) * smooth_step(edge, 0.1, -0.15)
    plate += np.float32(0.16) * np.exp(-np.square((edge + np.float32(0.2)) / np.float32(0.2)))
    return plate + ellipsoid(ax, y, (reach + 3.4, person.apex + 2.6), (2.2, 2.3, 0.9))


def shoulder_joints(person: Anatomy, view: View) -> Array:
    """Spines of the shoulder blades and shafts of the upper arms."""
    reach, top = person.width, person.apex + 2.2
    bones = []
    for s in SIDES:
        bones.append(Tube((s * 0.84 * reach, top + 1.6), (s * (reach + 2.4), top - 1.4), (0.2, 0.34)))
        bones.append(Tube((s * (reach + 3.9), top + 1.5), (s * (reach + 6), top + 16), (1.0, 1.0)))
    return tubes(view, bones)
