"""Images between packages and on disk: uint8 NCHW with one label each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

UNKNOWN = -1
"""Label of an image nobody has named, such as a sample of an unconditional model."""

UNRECOGNIZED = "(unrecognised)"
"""What tables call the class of images that are like no real one."""


class InvalidImages(ValueError):  # noqa: N818
    """Pixels or labels of another type or shape than images have."""


@dataclass(frozen=True)
class Images:
    """N images and their labels."""

    pixels: Tensor  # uint8[N, C, H, W]
    labels: Tensor  # int16[N], a class number, or `UNKNOWN`

    def __post_init__(self) -> None:
        if not _is_tensor(self.pixels, torch.uint8) or self.pixels.ndim != 4:
            raise InvalidImages(f"pixels must be uint8 NCHW, not {described(self.pixels)}")
        if not _is_tensor(self.labels, torch.int16) or self.labels.shape != self.pixels.shape[:1]:
            needed = f"int16[{len(self.pixels)}]"
            raise InvalidImages(f"labels must be {needed}, not {described(self.labels)}")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Tensor | slice) -> Images:
        return Images(self.pixels[rows], self.labels[rows])

    def relabeled(self, labels: Tensor) -> Images:
        """The same images under other labels, int16[N]."""
        return Images(self.pixels, labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width


def _is_tensor(value: object, dtype: torch.dtype) -> bool:
    return isinstance(value, Tensor) and value.dtype == dtype


def described(value: object) -> str:
    """A tensor's type and shape; the type of anything else."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


class LabelsOnly(Images):
    """N images without pixels, uint8[N, 1, 0, 0]: where only the class labels matter."""

    def __init__(self, labels: Tensor) -> None:
        """Takes labels int16[N]."""
        super().__init__(torch.empty(len(labels), 1, 0, 0, dtype=torch.uint8), labels)

    def read(self, rows: Tensor) -> Tensor:
        """int64[n] row numbers => uint8[n, 1, 0, 0]."""
        return self.pixels[rows]


class StoredImages(Images):
    """Images in a file, of which only the labels int16[N] are in memory.

    `read` maps their pixels each time somebody asks for them, and they are let go with what was
    asked for, so that a lineage of a hundred generations takes no more memory than one of two.
    """

    def __init__(self, labels: Tensor, read: Callable[[], Tensor]) -> None:
        object.__setattr__(self, "labels", labels)
        self._read = read

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """uint8[N, C, H, W], mapped anew."""
        return self._read()

    def relabeled(self, labels: Tensor) -> Images:
        """The same images under other labels, int16[N]."""
        return StoredImages(labels, self._read)


class GatheredImages(Images):
    """Images of a training set of `count`, which `read` reads where they lie.

    Whoever takes some rows reads no others; whoever asks for all pixels is given a copy of them,
    which is kept as long as this is.
    """

    def __init__(self, count: int, read: Callable[[Tensor | slice], Images]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: Tensor | slice) -> Images:
        return self._read(rows)

    @cached_property
    def _whole(self) -> Images:
        return self[:]

    @property
    def pixels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """uint8[N, C, H, W]."""
        return self._whole.pixels

    @property
    def labels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """int16[N]."""
        return self._whole.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self[:1].shape


def cat(parts: Sequence[Images]) -> Images:
    """Lay several sets of images of one shape end to end."""
    return Images(torch.cat([p.pixels for p in parts]), torch.cat([p.labels for p in parts]))


def unlabeled(pixels: Tensor) -> Images:
    """Images nobody has named: uint8[N, C, H, W] => Images with `UNKNOWN` labels."""
    return Images(pixels, torch.full((len(pixels),), UNKNOWN, dtype=torch.int16))


def class_shares(labels: Tensor, classes: int) -> Tensor:
    """Class shares of int16[N] labels, `UNKNOWN` left out: float64[K], zeros if none is known."""
    counts = torch.bincount(labels[labels != UNKNOWN].long(), minlength=classes).double()
    return counts / counts.sum().clamp(min=1)


def to_float(pixels: Tensor) -> Tensor:
    """uint8 in [0, 255] => float32 in [-1, 1], the range every network here works in."""
    return pixels.float() / 127.5 - 1


def to_uint8(floats: Tensor) -> Tensor:
    """Floats in [-1, 1] => uint8 in [0, 255] on the CPU, clipped.

    They lie in memory as they do after they were saved: sums over them depend on that.
    """
    whole = ((floats.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return whole.cpu().contiguous()


class ImageSet(Protocol):
    """Real images that are read, or drawn, when somebody asks for them."""

    @property
    def labels(self) -> Tensor:
        """int16[N], the class of every image."""
        ...

    def read(self, rows: Tensor) -> Tensor:
        """int64[n] row numbers => uint8[n, C, H, W]."""
        ...
