"""Source: paper dogs, eight breeds drawn with Pillow, deterministic by seed, in any number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field
from torch import Tensor

from imgcollapse.core.seeds import Seed
from imgcollapse.data.base import Source, SourceData
from imgcollapse.data.paper_dogs.breeds import BREEDS
from imgcollapse.data.paper_dogs.drawing import Breed, Limb, Points

SCENES = np.array(
    [
        [(168, 208, 232), (150, 190, 132)],
        [(206, 192, 228), (164, 148, 194)],
        [(178, 220, 202), (214, 190, 146)],
        [(240, 196, 192), (200, 148, 150)],
    ],
    dtype=np.float64,
)
"""Colors of wall and ground: float64[4, 2, 3]."""

SWING = np.radians([2.5, 7, 10, 14, 11, 11, 10, 10])
"""Largest turn of each `Limb` about its joint, in radians."""

STRETCH = (0.16, 0.1)
"""Largest relative change of the length of ears and tail."""


@dataclass(frozen=True)
class _BreedArrays:
    """The corners of all shapes of a breed in one array, so that one product poses them all."""

    corners: Points
    limb: NDArray[np.int64]
    ends: tuple[int, ...]
    colors: NDArray[np.float64]
    joints: Points

    @classmethod
    def of(cls, breed: Breed) -> _BreedArrays:
        sizes = [len(shape.corners) for shape in breed.shapes]
        corners = np.concatenate([shape.corners for shape in breed.shapes])
        return cls(
            corners=corners,
            limb=np.repeat([shape.limb for shape in breed.shapes], sizes),
            ends=tuple(np.cumsum(sizes).tolist()),
            colors=np.array([shape.color for shape in breed.shapes], dtype=np.float64),
            joints=breed.joints,
        )

    def pose(self, noise: NDArray[np.float64]) -> Points:
        """Return the corners with all limbs turned by float64[10] noise in [-1, 1]."""
        turn = SWING * noise[:8]
        turn[Limb.FAR_FORE] -= turn[Limb.FORE]
        turn[Limb.FAR_HIND] -= turn[Limb.HIND]
        stretch = np.ones(len(Limb))
        stretch[[Limb.EAR, Limb.TAIL]] += STRETCH * noise[8:10]
        joint, arm = self.joints[self.limb], self.corners - self.joints[self.limb]
        across = (stretch * np.cos(turn))[self.limb]
        along = (stretch * np.sin(turn))[self.limb]
        x = arm[:, 0] * across - arm[:, 1] * along
        y = arm[:, 0] * along + arm[:, 1] * across
        return joint + np.stack([x, y], 1)


_BREEDS = tuple(map(_BreedArrays.of, BREEDS))


def draw(
    breed: int, size: int, rng: np.random.Generator, variety: float = 1.0
) -> NDArray[np.uint8]:
    """Draw one dog: uint8[H, W, 3].

    Args:
        breed: number of the breed in `BREEDS`.
        size: H and W, in pixels.
        rng: source of pose and colors.
        variety: variation of pose, tint, position and background, in [0, 1].
    """
    arrays = _BREEDS[breed]
    noise = rng.uniform(-variety, variety, 22)
    facing = 1 if rng.random() < variety / 2 else -1
    scenery = SCENES[rng.integers(1 + round(variety * (len(SCENES) - 1)))]

    dog = arrays.pose(noise[:10])
    low, high = dog.min(0), dog.max(0)
    fill = 0.87 + 0.04 * noise[10]
    scale = fill / (high - low).max()
    # A low dog is moved up a little, so that it is not at the very bottom of the frame.
    floor = 0.955 - 0.35 * (fill - (high - low)[1] * scale) + 0.02 * noise[11]
    dog = (dog - [(low[0] + high[0]) / 2, high[1]]) * scale * [facing, 1]
    dog += [0.5 + 0.02 * noise[12], floor]
    horizon = floor - 0.13 + 0.03 * noise[13]

    light = 1 + 0.03 * noise[14] + 0.02 * noise[15:18]
    wall, ground = (tuple(color) for color in (scenery * light).astype(int).tolist())
    tint = 1 + 0.05 * noise[18] + 0.03 * noise[19:22]
    colors = np.minimum(arrays.colors * tint, 255).astype(int).tolist()

    over = 2 if size >= 128 else 3
    canvas = size * over
    image = Image.new("RGB", (canvas, canvas), wall)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, horizon * canvas, canvas, canvas), ground)
    path = (dog * canvas).ravel().tolist()
    start = 0
    for end, color in zip(arrays.ends, colors, strict=True):
        pen.polygon(path[2 * start : 2 * end], tuple(color))
        start = end
    return np.asarray(image.reduce(over))


@dataclass(frozen=True)
class PaperDogImages:
    """Dogs drawn when they are read; row r shows breed r mod 8."""

    labels: Tensor
    size: int
    variety: float
    seed: Seed

    def read(self, rows: Tensor) -> Tensor:
        """Draw int64[n] row numbers: uint8[n, 3, H, W]; a row always gives the same image."""
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            rng = (self.seed / row).numpy()
            image[:] = draw(row % len(BREEDS), self.size, rng, self.variety)
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


class PaperDogs(Source):
    """Eight breeds of paper dogs, from Golden Retriever to Petit Basset Griffon Vendéen.

    Attributes:
        size: height and width, in pixels.
        stock: training images of each class, drawn only when read.
        test_stock: test images of each class.
        variety: variation of pose, tint, position and background; 0 for none.
        seed: another seed gives another set of dogs.
    """

    kind: Literal["paper_dogs"] = "paper_dogs"
    size: int = Field(default=32, ge=8, le=256)
    stock: int = Field(default=131072, ge=1, le=2**24)
    test_stock: int = Field(default=131072, ge=1, le=2**24)
    variety: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0

    def load(self) -> SourceData:
        """Return the image sets, without drawing any image yet."""
        return SourceData(
            tuple(breed.name for breed in BREEDS),
            self._split("train", self.stock),
            self._split("test", self.test_stock),
        )

    def _split(self, name: str, each: int) -> PaperDogImages:
        labels = torch.arange(len(BREEDS), dtype=torch.int16).repeat(each)
        return PaperDogImages(
            labels, self.size, self.variety, Seed(("paper_dogs", self.seed, name))
        )
