"""Images that stay where they lie until somebody wants their pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from torch import Tensor

from imgcollapse.core.images import Images


class StoredImages(Images):
    """Images in a file, of which only the labels are in memory.

    Their pixels are mapped each time somebody asks for them and let go with what was asked for, so
    that a lineage of a hundred generations takes no more memory than one of two.
    """

    def __init__(self, labels: Tensor, read: Callable[[], Tensor]) -> None:
        """
        Args:
            labels: int16[N].
            read: maps the pixels, uint8[N, C, H, W].
        """
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
    """Images of a training set, read where they lie.

    Whoever takes some rows reads no others; whoever asks for all pixels is given a copy of them,
    which is kept as long as this is.
    """

    def __init__(self, count: int, read: Callable[[Tensor | slice], Images]) -> None:
        """
        Args:
            count: N.
            read: the images at rows of the training set.
        """
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
