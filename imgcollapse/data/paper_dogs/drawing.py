"""Draws dogs as flat colored shapes on a jointed skeleton.

A dog is seen from the side and faces right; y points down, the ground is y = 0 and a tall dog is
about one unit high at the shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Color = tuple[int, int, int]
Point = tuple[float, float]

INK: Color = (40, 33, 38)


class Limb(IntEnum):
    """A body part that moves as one piece."""

    TRUNK = 0
    HEAD = 1
    EAR = 2
    TAIL = 3
    FORE = 4
    FAR_FORE = 5
    HIND = 6
    FAR_HIND = 7


@dataclass(frozen=True)
class Shape:
    """A polygon: float64[V, 2] corners, its limb and its color."""

    corners: Points
    limb: Limb
    color: Color


@dataclass(frozen=True)
class Breed:
    """A breed: shapes from back to front, and float64[8, 2] the joint of each limb."""

    name: str
    shapes: tuple[Shape, ...]
    joints: Points


def smooth(*points: Point, at: Point = (0, 0)) -> Points:
    """Return a closed Catmull-Rom curve through points given relative to `at`."""
    p1 = np.array(points, dtype=np.float64) + at
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    t = np.array([0, 0.25, 0.5, 0.75])[None, :, None]
    linear, square, cube = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * (p1 - p2) + p3 - p0
    return (p1 + t / 2 * (linear + t * (square + t * cube))).reshape(-1, 2)


def disc(x: float, y: float, radius: float, wide: float = 1.0) -> Points:
    """Return an ellipse of vertical half-axis `radius` and horizontal half-axis `radius * wide`."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return np.stack([x + radius * wide * np.cos(angle), y + radius * np.sin(angle)], 1)


def pompon(x: float, y: float, radius: float, curls: int = 8) -> Points:
    """Return a round outline with curls."""
    angle = np.linspace(0, 2 * np.pi, curls * 4, endpoint=False)
    bump = radius * (0.88 + 0.16 * np.abs(np.sin(angle * curls / 2)))
    return np.stack([x + bump * np.cos(angle), y + bump * np.sin(angle)], 1)


def shaggy(outline: Points, hair: float) -> Points:
    """Return the outline with locks of hair of the given length, pointing down."""
    locks = np.where(np.arange(len(outline)) % 2 == 0, hair, -hair / 3)[:, None]
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    outward = along[:, ::-1] * [1, -1] / np.linalg.norm(along, axis=1, keepdims=True)
    return outline + locks * outward + np.maximum(locks, 0) * [-0.2, 0.6]


@dataclass(frozen=True)
class Frame:
    """The measurements of a breed, and the shapes computed from them."""

    length: float = 0.72
    leg: float = 0.48
    depth: float = 0.36
    neck: float = 0.2
    skull: float = 0.2
    muzzle: float = 0.24
    snout: float = 0.09
    bone: float = 0.075

    @property
    def back(self) -> float:
        """Height of the back."""
        return -self.leg - self.depth

    @property
    def poll(self) -> Point:
        """The middle of the skull."""
        return self.length / 2 + 0.12 + self.neck * 0.5, self.back - self.neck

    @property
    def croup(self) -> Point:
        """The base of the tail."""
        return -self.length / 2 - 0.04, self.back + 0.07

    @property
    def joints(self) -> Points:
        """The point each limb turns about: float64[8, 2]."""
        half, hip = self.length / 2, self.back + self.depth * 0.5
        x, y = self.poll
        shoulder, ear = (half, self.back + 0.12), (x - self.skull * 0.3, y - self.skull * 0.6)
        fore, hind = (half - 0.02, hip), (-half + 0.04, hip)
        return np.array([(0, hip), shoulder, ear, self.croup, fore, fore, hind, hind])

    def trunk(self) -> Points:
        """Chest, back and belly."""
        half, back, belly = self.length / 2, self.back, -self.leg
        return smooth(
            (-half - 0.1, back + 0.14), (-half, back), (0, back + 0.02), (half, back - 0.02),
            (half + 0.14, back + self.depth * 0.4), (half + 0.04, belly + 0.02), (0, belly),
            (-half + 0.12, belly - 0.05), (-half - 0.08, back + self.depth * 0.75),
        )  # fmt: skip

    def crest(self) -> Points:
        """The neck, from the shoulders to the skull."""
        half, back, skull = self.length / 2, self.back, self.skull
        x, y = self.poll
        return smooth(
            (half - 0.12, back + 0.03), (x - skull * 0.85, y), (x, y - skull * 0.4),
            (x + skull * 0.45, y + skull * 0.7), (half + 0.14, back + 0.2), (half, back + 0.25),
        )  # fmt: skip

    def face(self) -> Points:
        """Skull and muzzle in one outline."""
        x, y = self.poll
        skull, tip, snout = self.skull, self.skull * 0.75 + self.muzzle, self.snout
        return smooth(
            (-skull * 0.95, 0), (-skull * 0.55, -skull * 0.8), (skull * 0.2, -skull * 0.9),
            (skull * 0.72, -skull * 0.35), (tip - snout * 0.3, skull * 0.3 - snout),
            (tip, skull * 0.35), (tip - snout * 0.8, skull * 0.4 + snout),
            (skull * 0.5, skull * 0.75), (-skull * 0.4, skull * 0.85), at=(x, y),
        )  # fmt: skip

    def chops(self) -> Points:
        """The muzzle alone, to be painted over the face."""
        x, y = self.poll
        skull, tip, snout = self.skull, self.skull * 0.75 + self.muzzle, self.snout
        return smooth(
            (skull * 0.85, -skull * 0.1), (tip - snout * 0.3, skull * 0.3 - snout),
            (tip, skull * 0.35), (tip - snout * 0.8, skull * 0.4 + snout),
            (skull * 0.5, skull * 0.75), (skull * 0.4, skull * 0.3), at=(x, y),
        )  # fmt: skip

    def forearm(self) -> Points:
        """A foreleg."""
        x, y, bone = self.length / 2 - 0.02, self.back + self.depth * 0.5, self.bone
        return smooth(
            (x - bone * 1.3, y), (x + bone * 1.5, y), (x + bone, -self.leg * 0.45),
            (x + bone * 0.9, -0.07), (x + bone * 1.7, 0), (x - bone * 0.9, 0),
            (x - bone * 0.8, -self.leg * 0.5),
        )  # fmt: skip

    def thigh(self) -> Points:
        """A hind leg with its hock."""
        x, y, bone = -self.length / 2 + 0.04, self.back + self.depth * 0.35, self.bone
        return smooth(
            (x - bone * 2.0, y), (x + bone * 2.0, y), (x + bone * 1.7, -self.leg * 0.85),
            (x - bone * 0.2, -self.leg * 0.4), (x - bone * 0.1, -0.07), (x + bone * 0.9, 0),
            (x - bone * 1.6, 0), (x - bone * 1.9, -self.leg * 0.4),
            (x - bone * 2.0, -self.leg * 0.9),
        )  # fmt: skip

    def eye(self) -> Points:
        """The eye."""
        x, y = self.poll
        return disc(x + self.skull * 0.38, y - self.skull * 0.18, 0.036)

    def glint(self) -> Points:
        """The light in the eye."""
        x, y = self.poll
        return disc(x + self.skull * 0.38 + 0.012, y - self.skull * 0.18 - 0.012, 0.012)

    def nose(self) -> Points:
        """The nose at the tip of the muzzle."""
        x, y = self.poll
        return disc(
            x + self.skull * 0.75 + self.muzzle - 0.02, y + self.skull * 0.35 - 0.035, 0.05, 1.15
        )

    def collar(self) -> Points:
        """A band around the neck."""
        (x, y), skull, half, back = self.poll, self.skull, self.length / 2, self.back
        shoulders = np.array([(half - 0.1, back + 0.05), (half + 0.1, back + 0.2)])
        head = np.array([(x - skull * 0.82, y + skull * 0.1), (x + skull * 0.38, y + skull * 0.75)])
        low, high = shoulders + 0.5 * (head - shoulders), shoulders + 0.8 * (head - shoulders)
        return np.concatenate([low, high[::-1]])

    def drop_ear(self, long: float, wide: float) -> Points:
        """A hanging ear."""
        x, y = self.poll
        return smooth(
            (-self.skull * 0.5, -self.skull * 0.75), (-self.skull * 0.05, -self.skull * 0.6),
            (wide * 0.35, long * 0.4), (-wide * 0.3, long * 0.75), (-wide * 1.4, long * 0.6),
            (-wide * 1.7, long * 0.1), at=(x, y),
        )  # fmt: skip

    def prick_ear(self, high: float, forward: float = 0.0) -> Points:
        """A pricked ear; `forward` shows the one on the far side."""
        x, y = self.poll
        return smooth(
            (-0.15, -self.skull * 0.3), (-0.16, -self.skull * 0.6 - high * 0.5),
            (-0.1, -self.skull * 0.7 - high), (0.0, -self.skull * 0.6 - high * 0.45),
            (0.05, -self.skull * 0.55), at=(x + forward, y),
        )  # fmt: skip
