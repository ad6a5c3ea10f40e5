"""Source: a folder, zip or tar of images with one folder per class."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from imgcollapse.core.components import Setting
from imgcollapse.core.errors import UserError
from imgcollapse.data.archives import Limits
from imgcollapse.data.base import (
    InMemoryImages,
    Source,
    SourceData,
    find_copies,
    remark_on_copies,
    stack_images,
)
from imgcollapse.data.decode import decode, pillow_warnings_off
from imgcollapse.data.file_tree import SafeTree, expand_home, left_out, open_tree
from imgcollapse.data.layout import ImageFile, Layout, LayoutSetting, Part, read_layout
from imgcollapse.data.passed_over import PassedOver, display_path, first_of, remarks_on

MAX_CLASSES = 32_767
"""Labels are int16."""


def _known_encoding(name: str | None) -> str | None:
    try:
        return name and codecs.lookup(name).name
    except LookupError:
        raise ValueError("is no encoding; write gbk, shift_jis, cp1252 or the like") from None


class Folder(Source):
    """Images as `<class>/<file>`, optionally below train and test folders.

    Attributes:
        path: the folder, or a zip, tar or tar.gz of it.
        size: side of the square every image is scaled and cropped to; None if all have one size.
        channels: 1 (gray) or 3 (RGB).
        layout: "classes", "leaves" or "splits" where the paths alone do not decide (layout.py).
        encoding: of names in an archive that are not UTF-8, such as "gbk".
        duplicates: "drop" leaves out copies: of training images among the test images, and all but
            the first within either.
        max_bytes: larger files are left out.
        max_pixels: images of more pixels are left out.
        max_files: a folder or archive of more files is refused.
        max_total: bytes that an archive may unpack to, and that all decoded images may take.
        max_ratio: files in a zip with a larger compression ratio are left out; a tar is refused.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[Path, Setting((), ("run", "evaluate"))]
    size: int | None = Field(default=None, ge=4, le=1024)
    channels: Literal[1, 3] = 3
    # A run that began without these settings goes on with them if its images are the same.
    layout: Annotated[LayoutSetting, Setting((), ("run", "evaluate"))] = "auto"
    encoding: Annotated[
        str | None, AfterValidator(_known_encoding), Setting((), ("run", "evaluate"))
    ] = None
    duplicates: Annotated[Literal["keep", "drop"], Setting((), ("run", "evaluate"))] = "keep"
    max_bytes: int = Field(default=Limits.max_bytes, ge=1)
    max_pixels: int = Field(default=64_000_000, ge=1, le=80_000_000)
    max_files: int = Field(default=Limits.max_files, ge=1, le=10_000_000)
    max_total: int = Field(default=Limits.max_total, ge=1)
    max_ratio: float = Field(default=Limits.max_ratio, ge=1)

    @property
    def limits(self) -> Limits:
        """The limits on its files."""
        return Limits(self.max_bytes, self.max_files, self.max_total, self.max_ratio)

    def load(self) -> SourceData:
        """Decode every image; what is not read is in `passed_over`, and in short in the remarks.

        Raises:
            UserError: the path is missing, holds no images, could be read in more than one way, or
                a class has no usable image.
        """
        name, path = f"data.path: {self.path}", expand_home(self.path)
        with open_tree(path, self.limits, encoding=self.encoding) as tree, pillow_warnings_off():
            layout = self._layout(tree, name)
            memory = _DecodedBytes(self.max_total)
            decoded = tree.map_files([file.path for file in layout.files], self._decode(memory))
        both = list(zip(layout.files, decoded, strict=True))
        usable = [(file, image) for file, image in both if isinstance(image, np.ndarray)]
        unusable = [(file, why) for file, why in both if isinstance(why, str)]
        passed = [*tree.passed_over, *layout.passed_over]
        remarks = [*tree.remarks, *layout.remarks, *remarks_on(passed)]
        if unusable:
            count = f"{len(unusable)} of {len(decoded)} images"
            remarks.append(f"{self.path}: {count} cannot be used and are left out")
            remarks += first_of([left_out(file.path, why) for file, why in unusable])
        passed += [PassedOver("unusable", display_path(file.path), why) for file, why in unusable]

        copies = find_copies(
            [image for _, image in usable],
            [file.label for file, _ in usable],
            [file.part == "test" for file, _ in usable],
        )
        if copies.rows:
            remarks.append(remark_on_copies(copies, self.duplicates))
        if self.duplicates == "drop":
            passed += [
                PassedOver(
                    "duplicate", display_path(usable[row][0].path), "a copy of another image"
                )
                for row in copies.rows
            ]
            drop = set(copies.rows)
            usable = [pair for row, pair in enumerate(usable) if row not in drop]

        def stacked(part: Part) -> InMemoryImages:
            chosen = [(image, file.label) for file, image in usable if file.part == part]
            return stack_images([image for image, _ in chosen], [k for _, k in chosen], name)

        train, test = stacked("train"), stacked("test")
        self._refuse_empty(layout.classes, train, unusable)
        test = test if len(test) else None
        return SourceData(layout.classes, train, test, tuple(remarks), layout.name, tuple(passed))

    def _layout(self, tree: SafeTree, name: str) -> Layout:
        try:
            layout = read_layout(tree.files, tree.folders, name, self.layout)
        except UserError as error:
            refused = [one for one in tree.passed_over if one.kind == "refused"]
            if tree.files or not refused:
                raise
            one = refused[0]
            raise UserError(f"{error} ({left_out(one.path, one.reason)})") from None
        if len(layout.classes) > MAX_CLASSES:
            raise UserError(
                f"{name} holds {len(layout.classes):,} class folders; use at most {MAX_CLASSES:,}"
            )
        return layout

    def _decode(self, memory: _DecodedBytes) -> Callable[[bytes], np.ndarray]:
        return lambda data: memory.add(decode(data, self.size, self.channels, self.max_pixels))

    def _refuse_empty(
        self, classes: tuple[str, ...], train: InMemoryImages, unusable: list[tuple[ImageFile, str]]
    ) -> None:
        filled = set(train.labels.tolist())
        for label, name in enumerate(classes):
            if label not in filled:
                bad = [
                    f"{display_path(file.path)}: {why}"
                    for file, why in unusable
                    if file.label == label
                ]
                because = f" ({bad[0]}{'; and others' if bad[1:] else ''})" if bad else ""
                twins = [n for n in classes if n != name and n.casefold() == name.casefold()]
                as_in = f" (its name differs from {twins[0]!r} in case alone)" if twins else ""
                raise UserError(
                    f"data.path: {self.path}: class {name!r} has no usable training image"
                    f"{because}{as_in}; add some or remove its folder"
                )


class _DecodedBytes:
    """Counts the bytes of decoded images across threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self.lock = Lock()

    def add(self, image: np.ndarray) -> np.ndarray:
        """Count an image and return it."""
        with self.lock:
            self.bytes += image.nbytes
        if self.bytes > self.limit:
            raise UserError(
                f"data.path: its images take more than data.max_total={self.limit} bytes once "
                "decoded; set data.size to a smaller side, or raise the limit"
            )
        return image
