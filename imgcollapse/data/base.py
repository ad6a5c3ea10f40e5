"""A source of real images, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from imgcollapse.core.components import Component
from imgcollapse.core.images import ImageSet


@dataclass(frozen=True)
class SourceData:
    """What a source has.

    Attributes:
        classes: their names; a label is an index into them.
        train: the images to learn from.
        test: images the source itself keeps apart, or None.
        remarks: one line for each thing the user should know, such as a file that was left out.
    """

    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet | None = None
    remarks: tuple[str, ...] = ()


class Source(Component, ABC):
    """A place that real images come from."""

    @abstractmethod
    def load(self) -> SourceData:
        """Open the source.

        Raises:
            UserError: it is missing, or nothing in it can be used.
        """
