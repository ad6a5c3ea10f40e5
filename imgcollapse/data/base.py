"""Base class of the sources of real images, and the image sets they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, ImageSet
from imgcollapse.data.safe_zip import DEFAULT, Limits


@dataclass(frozen=True)
class SourceData:
    """The images of a source.

    Attributes:
        classes: their names; a label is an index into them.
        train: training images.
        test: test images, or None if the source has none of its own.
        remarks: one line for each thing the user should know, such as a file that was left out.
    """

    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet | None = None
    remarks: tuple[str, ...] = ()


class Source(Component, ABC):
    """A source of real images."""

    @property
    def limits(self) -> Limits:
        """The limits on files of images."""
        return DEFAULT

    @abstractmethod
    def load(self) -> SourceData:
        """Open the source.

        Raises:
            UserError: it is missing, or none of its images can be used.
        """


class InMemoryImages(Images):
    """An image set that holds its pixels: uint8[N, C, H, W] and int16[N] labels."""

    def read(self, rows: Tensor) -> Tensor:
        """Return the pixels of int64[n] row numbers: uint8[n, C, H, W]."""
        return self.pixels[rows]


@dataclass(frozen=True)
class ImageSubset:
    """Some rows of another image set, read on demand.

    Attributes:
        images: the other set.
        rows: int64[N], rows of `images`.
        labels: int16[N], which may be numbered differently from the labels of `images`.
    """

    images: ImageSet
    rows: Tensor
    labels: Tensor

    def read(self, rows: Tensor) -> Tensor:
        """Return the pixels of int64[n] row numbers of this subset: uint8[n, C, H, W]."""
        return self.images.read(self.rows[rows])


def stack_images(
    images: Sequence[np.ndarray], labels: Sequence[int], source: str
) -> InMemoryImages:
    """Stack decoded images, each uint8[H, W, C], into one set.

    Args:
        images: N images.
        labels: their class numbers.
        source: name of their source for error messages.

    Raises:
        UserError: their sizes differ.
    """
    sizes = Counter(image.shape[:2] for image in images)
    if len(sizes) > 1:
        examples = " and ".join(f"{w}x{h}" for (h, w), _ in sizes.most_common(2))
        raise UserError(
            f"{source}: images have {len(sizes)} different sizes, such as {examples};"
            " set data.size to the side length to scale all of them to, such as data.size=32"
        )
    if not images:
        return InMemoryImages(torch.empty(0, 1, 1, 1, dtype=torch.uint8), torch.empty(0).short())
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return InMemoryImages(pixels, torch.tensor(labels, dtype=torch.int16))
