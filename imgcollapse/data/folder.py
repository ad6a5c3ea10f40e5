"""A folder, or a zip, of images: one folder a class."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from pydantic import Field

from imgcollapse.core.errors import UserError
from imgcollapse.data.base import Source, SourceData
from imgcollapse.data.decode import UnusableError, decode, in_threads, quietly
from imgcollapse.data.file_tree import Parts, SafeTree, display_path, expand_home, open_tree
from imgcollapse.data.folder_layout import Place, detect_layout
from imgcollapse.data.image_sets import InMemoryImages, stack
from imgcollapse.data.safe_zip import Limits

MOST_CLASSES = 32_767
"""Labels are int16."""


class Folder(Source):
    """Images as `<class>/<file>`, optionally below `train/` and `test/` or `val/`.

    Attributes:
        path: the folder, or a zip of it.
        size: side of the square every image is scaled and cropped to; None if all are of one size.
        channels: 1 (gray) or 3 (RGB).
        max_bytes: a larger file is left out.
        max_pixels: an image of more pixels is left out.
        max_files: a folder or zip of more files is refused.
        max_total: bytes that a zip may unpack to, and that all decoded images may take.
        max_ratio: a file in a zip that unpacks to more times its size is left out.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    size: int | None = Field(default=None, ge=4, le=1024)
    channels: Literal[1, 3] = 3
    max_bytes: int = Field(default=Limits.max_bytes, ge=1)
    max_pixels: int = Field(default=64_000_000, ge=1, le=80_000_000)
    max_files: int = Field(default=Limits.max_files, ge=1, le=10_000_000)
    max_total: int = Field(default=Limits.max_total, ge=1)
    max_ratio: float = Field(default=Limits.max_ratio, ge=1)

    @property
    def limits(self) -> Limits:
        """How much is read of its files."""
        return Limits(self.max_bytes, self.max_files, self.max_total, self.max_ratio)

    def load(self) -> SourceData:
        """Decode every image; what cannot be used is left out and named in the remarks.

        Raises:
            UserError: the path is missing, holds no images, or a class has no usable one.
        """
        with open_tree(expand_home(self.path), self.limits) as tree, quietly():
            layout = detect_layout(tree)
            if not layout.places:
                raise UserError(
                    f"data.path: {self.path} holds no images in class folders; "
                    "it needs <class>/<file>, such as cat/1.png"
                )
            if len(layout.classes) > MOST_CLASSES:
                raise UserError(
                    f"data.path: {self.path} holds {len(layout.classes):,} class folders; "
                    f"{MOST_CLASSES:,} are the most"
                )
            held = _Held(self.max_total)
            decoded = in_threads(
                lambda place: held.count(self._open(tree, place.file)), layout.places
            )

        usable: list[tuple[Place, np.ndarray]] = []
        unusable: list[tuple[Place, str]] = []
        for place, image in zip(layout.places, decoded, strict=True):
            if isinstance(image, str):
                unusable.append((place, image))
            else:
                usable.append((place, image))
        remarks = list(layout.remarks)
        if unusable:
            count = f"{len(unusable)} of {len(decoded)} images"
            remarks.append(f"{self.path}: {count} cannot be used and are left out")
            remarks += [f"{display_path(place.file)}: left out, {why}" for place, why in unusable]

        train = self._stock([both for both in usable if both[0].stock == "train"])
        test = self._stock([both for both in usable if both[0].stock == "test"])
        self._refuse_empty(layout.classes, train, unusable)
        return SourceData(layout.classes, train, test if len(test) else None, tuple(remarks))

    def _open(self, tree: SafeTree, file: Parts) -> np.ndarray | str:
        """Its pixels, or why it cannot be used."""
        try:
            return decode(tree.read(file), self.size, self.channels, self.max_pixels)
        except UnusableError as error:
            return str(error)

    def _stock(self, usable: list[tuple[Place, np.ndarray]]) -> InMemoryImages:
        images = [image for _, image in usable]
        return stack(images, [place.label for place, _ in usable], f"data.path: {self.path}")

    def _refuse_empty(
        self, classes: tuple[str, ...], train: InMemoryImages, unusable: list[tuple[Place, str]]
    ) -> None:
        filled = set(train.labels.tolist())
        for label, name in enumerate(classes):
            if label not in filled:
                bad = [
                    f"{display_path(place.file)}: {why}"
                    for place, why in unusable
                    if place.label == label
                ]
                because = f" ({bad[0]}{'; and others' if bad[1:] else ''})" if bad else ""
                raise UserError(
                    f"data.path: {self.path}: class {name!r} has no usable training image"
                    f"{because}; add some or remove its folder"
                )


class _Held:
    """Counts what decoded images take, whichever thread has decoded them."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self.lock = Lock()

    def count(self, image: np.ndarray | str) -> np.ndarray | str:
        """The same image, counted."""
        if isinstance(image, np.ndarray):
            with self.lock:
                self.bytes += image.nbytes
            if self.bytes > self.most:
                raise UserError(
                    f"data.path: its images take more than data.max_total={self.most} bytes once "
                    "decoded; set data.size to a smaller side, or raise the limit"
                )
        return image
