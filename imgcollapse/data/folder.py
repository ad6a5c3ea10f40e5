"""A folder, or a zip, of images: one folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from imgcollapse.core.errors import UserError
from imgcollapse.core.protocols import Pool, Source
from imgcollapse.data.decode import UnusableError, decode, in_threads, quietly
from imgcollapse.data.files import Parts, Tree, open_tree
from imgcollapse.data.layout import Place, arrange
from imgcollapse.data.stocks import InMemory, stack


class Folder(Source):
    """Images as `<class>/<file>`, optionally below `train/` and `test/` or `val/`.

    Attributes:
        path: the folder, or a zip of it.
        size: side of the square every image is scaled and cropped to; None if all are of one size.
        channels: 1 (gray) or 3 (RGB).
        max_bytes: a larger file is left out.
        max_pixels: an image of more pixels is left out.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    size: int | None = Field(default=None, ge=4, le=1024)
    channels: Literal[1, 3] = 3
    max_bytes: int = Field(default=64 * 2**20, ge=1)
    max_pixels: int = Field(default=64_000_000, ge=1, le=80_000_000)

    def load(self) -> Pool:
        """Decode every image; what cannot be used is left out and named in the remarks.

        Raises:
            UserError: the path is missing, holds no images, or a class has no usable one.
        """
        with open_tree(self.path.expanduser(), self.max_bytes) as tree, quietly():
            layout = arrange(tree)
            if not layout.places:
                raise UserError(
                    f"data.path: {self.path} holds no images in class folders; "
                    "it needs <class>/<file>, such as cat/1.png"
                )
            decoded = in_threads(lambda place: self._open(tree, place.file), layout.places)

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
            remarks += [f"{place.name}: left out, {why}" for place, why in unusable]

        train = self._stock([both for both in usable if both[0].stock == "train"])
        test = self._stock([both for both in usable if both[0].stock == "test"])
        self._refuse_empty(layout.classes, train, unusable)
        return Pool(layout.classes, train, test if len(test) else None, tuple(remarks))

    def _open(self, tree: Tree, file: Parts) -> np.ndarray | str:
        """Its pixels, or why it cannot be used."""
        try:
            return decode(tree.read(file), self.size, self.channels, self.max_pixels)
        except UnusableError as error:
            return str(error)

    def _stock(self, usable: list[tuple[Place, np.ndarray]]) -> InMemory:
        images = [image for _, image in usable]
        return stack(images, [place.label for place, _ in usable], f"data.path: {self.path}")

    def _refuse_empty(
        self, classes: tuple[str, ...], train: InMemory, unusable: list[tuple[Place, str]]
    ) -> None:
        filled = set(train.labels.tolist())
        for label, name in enumerate(classes):
            if label not in filled:
                bad = [f"{place.name}: {why}" for place, why in unusable if place.label == label]
                because = f" ({bad[0]}{'; and others' if bad[1:] else ''})" if bad else ""
                raise UserError(
                    f"data.path: {self.path}: class {name!r} has no usable training image"
                    f"{because}; add some or remove its folder"
                )
