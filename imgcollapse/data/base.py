"""Base class of the sources of real images, and the image sets they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, ImageSet, described
from imgcollapse.data.archives import DEFAULT, Limits
from imgcollapse.data.passed_over import PassedOver


@dataclass(frozen=True)
class SourceData:
    """The images of a source.

    Attributes:
        classes: their names; a label is an index into them.
        train: training images.
        test: test images, or None if the source has none of its own.
        remarks: one line for each thing the user should know; of many files only the first.
        layout: how the source was read, in words.
        passed_over: every file that is not among the images.
    """

    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet | None = None
    remarks: tuple[str, ...] = ()
    layout: str = ""
    passed_over: tuple[PassedOver, ...] = ()


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

    def checked_load(self) -> SourceData:
        """What `load` returns, if its images are read and named as they should be."""
        loaded, found = self.load(), ""
        if not isinstance(loaded, SourceData):
            found = described(loaded)
        elif not all(isinstance(name, str) for name in loaded.classes):
            found = "classes whose names are not all strings"
        else:
            sets = [("train", loaded.train), ("test", loaded.test)]
            wrong = [(name, _invalid(s, len(loaded.classes))) for name, s in sets if s is not None]
            found = next((f"{name} with {why}" for name, why in wrong if why), "")
        if found:
            raise UserError(
                f"data {self.kind}: load returned {found}; let it return a SourceData "
                "(imgcollapse.data.base) whose sets have int16[N] labels below the number of "
                "classes, and read uint8[n, C, H, W]"
            )
        return loaded


def _invalid(images: ImageSet, classes: int) -> str:
    """What is wrong with a set of images; or nothing."""
    labels = images.labels
    if not isinstance(labels, Tensor) or labels.dtype != torch.int16 or labels.ndim != 1:
        return f"labels {described(labels)}"
    if others := set(labels.unique().tolist()).difference(range(classes)):
        return f"the label {min(others)}"
    first = images.read(torch.arange(min(1, len(labels))))
    typed = isinstance(first, Tensor) and first.dtype == torch.uint8 and first.ndim == 4
    return "" if typed and len(first) == min(1, len(labels)) else f"pixels {described(first)}"


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


class Copies(NamedTuple):
    """Images that are equal to an earlier one, pixel by pixel.

    Attributes:
        rows: their rows; a training image comes before all test images.
        across: how many are test images that are training images, too.
        conflicting: how many are of another class than the first.
    """

    rows: list[int]
    across: int
    conflicting: int


def find_copies(
    images: Sequence[np.ndarray], labels: Sequence[int], is_test: Sequence[bool]
) -> Copies:
    """Find equal images among N of a source."""
    first: dict[bytes, int] = {}
    copies, across, conflicting = [], 0, 0
    for row in sorted(range(len(images)), key=lambda row: is_test[row]):
        image = np.ascontiguousarray(images[row])
        digest = blake2b(image.data, digest_size=16, salt=repr(image.shape[:2])[:16].encode())
        earlier = first.setdefault(digest.digest(), row)
        if earlier != row:
            copies.append(row)
            across += is_test[row] and not is_test[earlier]
            conflicting += labels[row] != labels[earlier]
    return Copies(copies, across, conflicting)


def remark_on_copies(copies: Copies, duplicates: str) -> str:
    """The remark on images that occur more than once."""
    number, several = len(copies.rows), f"; {copies.conflicting} of them in several classes"
    count = f"{number:,} image{'s are copies' if number > 1 else ' is a copy'} of others"
    across = f"{copies.across:,} of test images that are in the training images"
    fix = "dropped" if duplicates == "drop" else "set data.duplicates=drop to leave them out"
    return f"{count} ({across}){several if copies.conflicting else ''}; {fix}"


def case_twins(names: Sequence[str]) -> list[str]:
    """A remark on each two classes whose names differ in case alone."""
    first: dict[str, str] = {}
    twins = [(first.setdefault(name.casefold(), name), name) for name in names]
    return [f"classes {a!r} and {b!r} differ in case alone" for a, b in twins if a != b]
