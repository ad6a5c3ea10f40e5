"""Source: a folder, or a zip, of images with one folder per class."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from imgcollapse.core.components import Setting
from imgcollapse.core.errors import UserError
from imgcollapse.data.base import InMemoryImages, Source, SourceData, stack_images
from imgcollapse.data.decode import UnusableError, decode, map_threads, pillow_warnings_off
from imgcollapse.data.file_tree import (
    Parts,
    SafeTree,
    display_path,
    expand_home,
    left_out,
    open_tree,
)
from imgcollapse.data.safe_zip import Limits

MAX_CLASSES = 32_767
"""Labels are int16."""

IMAGE_NAME = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|webp|bmp|dib|gif|tiff?|p[bgnp]m|hei[cf]|avif|jp2|jxl|tga|ico|psd)$",
    re.IGNORECASE,
)
"""Names of image files, including formats that cannot be read: those are listed as left out."""

TRAIN_NAMES = frozenset(("train", "training"))
TEST_NAMES = frozenset(("test", "testing", "val", "valid", "validation"))

Part = Literal["train", "test"]


class Folder(Source):
    """Images as `<class>/<file>`, optionally below `train/` and `test/` or `val/`.

    Attributes:
        path: the folder, or a zip of it.
        size: side of the square every image is scaled and cropped to; None if all have one size.
        channels: 1 (gray) or 3 (RGB).
        max_bytes: larger files are left out.
        max_pixels: images of more pixels are left out.
        max_files: a folder or zip of more files is refused.
        max_total: bytes that a zip may unpack to, and that all decoded images may take.
        max_ratio: files in a zip with a larger compression ratio are left out.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[Path, Setting((), ("run", "evaluate"))]
    size: int | None = Field(default=None, ge=4, le=1024)
    channels: Literal[1, 3] = 3
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
        """Decode every image; images that cannot be used are left out and named in the remarks.

        Raises:
            UserError: the path is missing, holds no images, or a class has no usable one.
        """
        name = f"data.path: {self.path}"
        with open_tree(expand_home(self.path), self.limits) as tree, pillow_warnings_off():
            layout = detect_layout(tree)
            if not layout.files:
                raise UserError(
                    f"{name} holds no images in class folders; "
                    "it needs <class>/<file>, such as cat/1.png"
                )
            if len(layout.classes) > MAX_CLASSES:
                raise UserError(
                    f"{name} holds {len(layout.classes):,} class folders; "
                    f"use at most {MAX_CLASSES:,}"
                )
            memory = _DecodedBytes(self.max_total)
            decoded = map_threads(
                lambda file: memory.add(self._decode(tree, file.path)), layout.files
            )

        usable: list[tuple[ImageFile, np.ndarray]] = []
        unusable: list[tuple[ImageFile, str]] = []
        for file, image in zip(layout.files, decoded, strict=True):
            if isinstance(image, str):
                unusable.append((file, image))
            else:
                usable.append((file, image))
        remarks = list(layout.remarks)
        if unusable:
            count = f"{len(unusable)} of {len(decoded)} images"
            remarks.append(f"{self.path}: {count} cannot be used and are left out")
            remarks += [left_out(file.path, why) for file, why in unusable]

        def stacked(part: Part) -> InMemoryImages:
            chosen = [(image, file.label) for file, image in usable if file.part == part]
            return stack_images([image for image, _ in chosen], [k for _, k in chosen], name)

        train, test = stacked("train"), stacked("test")
        self._refuse_empty(layout.classes, train, unusable)
        return SourceData(layout.classes, train, test if len(test) else None, tuple(remarks))

    def _decode(self, tree: SafeTree, path: Parts) -> np.ndarray | str:
        """Its pixels, or the reason it cannot be used."""
        try:
            return decode(tree.read(path), self.size, self.channels, self.max_pixels)
        except UnusableError as error:
            return str(error)

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
                raise UserError(
                    f"data.path: {self.path}: class {name!r} has no usable training image"
                    f"{because}; add some or remove its folder"
                )


@dataclass(frozen=True)
class ImageFile:
    """One image file: the set it belongs to, its class number and its path."""

    part: Part
    label: int
    path: Parts


@dataclass(frozen=True)
class FolderLayout:
    """The classes in natural order, their image files, and a remark on every file left out."""

    classes: tuple[str, ...]
    files: list[ImageFile]
    remarks: list[str]


def detect_layout(tree: SafeTree) -> FolderLayout:
    """Find `<class>/<file>`, below `train/` and `test/` where there is a `train/<class>/<file>`.

    A folder that holds all the classes, as in a zip of a whole folder, is skipped. Files in deeper
    folders belong to the class above them. A listed folder without images is a class, too.
    """
    images = [path for path in tree.files if IMAGE_NAME.search(path[-1])]
    skipped = _wrapper_depth(images, tree.folders)
    split = any(path[skipped].lower() in TRAIN_NAMES and len(path) > skipped + 2 for path in images)
    depth = skipped + split  # of the class folders

    def part_of(path: Parts) -> Part | None:
        top = path[skipped].lower()
        return "train" if not split or top in TRAIN_NAMES else "test" if top in TEST_NAMES else None

    members: dict[str, list[tuple[Part, Parts]]] = {}
    outside: list[Parts] = []
    for folder in tree.folders:
        if len(folder) == depth + 1 and part_of(folder):
            members.setdefault(_composed(folder[depth]), [])
    for path in images:
        part = part_of(path)
        if part is None or len(path) < depth + 2:
            outside.append(path)
        else:
            members.setdefault(_composed(path[depth]), []).append((part, path))

    classes = tuple(sorted(members, key=natural_key))
    files = [
        ImageFile(part, label, path)
        for label, name in enumerate(classes)
        for part, path in sorted(members[name], key=lambda member: natural_key("/".join(member[1])))
    ]
    remarks = [left_out(name, why) for name, why in tree.refused]
    remarks += [left_out(path, "it is in no class folder") for path in outside]
    if others := [path for path in tree.files if not IMAGE_NAME.search(path[-1])]:
        count = f"{len(others)} file{'s' * (len(others) > 1)}"
        remarks.append(f"{count} ignored, not named like an image: {display_path(others[0])}")
    return FolderLayout(classes, files, remarks)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which 2 comes before 10."""
    pieces = re.split(r"([0-9]{1,18})", name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def _wrapper_depth(images: list[Parts], folders: list[Parts]) -> int:
    """The number of folders around all classes."""
    depth = 0
    while images and all(len(path) > depth + 2 for path in images):
        names = {path[depth].lower() for path in (*images, *folders) if len(path) > depth}
        if len(names) > 1 or names & TRAIN_NAMES:
            break
        depth += 1
    return depth


def _composed(name: str) -> str:
    # Some file systems store é as e and an accent; a configuration has it as one letter.
    return unicodedata.normalize("NFC", name)


class _DecodedBytes:
    """Counts the bytes of decoded images across threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self.lock = Lock()

    def add(self, image: np.ndarray | str) -> np.ndarray | str:
        """Count an image and return it."""
        if isinstance(image, np.ndarray):
            with self.lock:
                self.bytes += image.nbytes
            if self.bytes > self.limit:
                raise UserError(
                    f"data.path: its images take more than data.max_total={self.limit} bytes once "
                    "decoded; set data.size to a smaller side, or raise the limit"
                )
        return image
