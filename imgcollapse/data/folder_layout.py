"""Which class and which stock each file of a tree belongs to, by the folders it lies in."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from imgcollapse.data.file_tree import Parts, SafeTree, display_path

IMAGE = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|webp|bmp|dib|gif|tiff?|p[bgnp]m|hei[cf]|avif|jp2|jxl|tga|ico|psd)$",
    re.IGNORECASE,
)
"""What an image file may be called: those that cannot be read are listed, not passed over."""

TRAIN = frozenset(("train", "training"))
TEST = frozenset(("test", "testing", "val", "valid", "validation"))


@dataclass(frozen=True)
class Place:
    """Where one image belongs."""

    stock: Literal["train", "test"]
    label: int
    file: Parts


@dataclass(frozen=True)
class FolderLayout:
    """The classes in natural order, their images, and a remark on every image left out."""

    classes: tuple[str, ...]
    places: list[Place]
    remarks: list[str]


def detect_layout(tree: SafeTree) -> FolderLayout:
    """Find `<class>/<file>`, below `train/` and `test/` where there is a `train/<class>/<file>`.

    Folders that wrap all the classes, as in a zip of a whole folder, are passed through. What lies
    deeper belongs to the class it is in. A listed folder without images is a class nevertheless.
    """
    images = [parts for parts in tree.files if IMAGE.search(parts[-1])]
    wrapped = _wrappers(images, tree.folders)
    split = any(parts[wrapped].lower() in TRAIN and len(parts) > wrapped + 2 for parts in images)
    above = wrapped + split  # folders above the class's own

    def stock(parts: Parts) -> Literal["train", "test"] | None:
        top = parts[wrapped].lower()
        return "train" if not split or top in TRAIN else "test" if top in TEST else None

    members: dict[str, list[tuple[Literal["train", "test"], Parts]]] = {}
    strays: list[Parts] = []
    for folder in tree.folders:
        if len(folder) == above + 1 and stock(folder):
            members.setdefault(_composed(folder[above]), [])
    for file in images:
        home = stock(file)
        if home is None or len(file) < above + 2:
            strays.append(file)
        else:
            members.setdefault(_composed(file[above]), []).append((home, file))

    classes = tuple(sorted(members, key=_natural))
    places = [
        Place(home, label, file)
        for label, name in enumerate(classes)
        for home, file in sorted(members[name], key=lambda member: _natural("/".join(member[1])))
    ]
    remarks = [f"{display_path(name)}: left out, {why}" for name, why in tree.refused]
    remarks += [f"{display_path(file)}: left out, it lies in no class folder" for file in strays]
    if others := [file for file in tree.files if not IMAGE.search(file[-1])]:
        count = f"{len(others)} file{'s' * (len(others) > 1)}"
        remarks.append(f"{count} passed over, not called like an image: {display_path(others[0])}")
    return FolderLayout(classes, places, remarks)


def _wrappers(images: list[Parts], folders: list[Parts]) -> int:
    depth = 0
    while images and all(len(parts) > depth + 2 for parts in images):
        here = {parts[depth].lower() for parts in (*images, *folders) if len(parts) > depth}
        if len(here) > 1 or here & TRAIN:
            break
        depth += 1
    return depth


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sort key by which 2 comes before 10."""
    pieces = re.split(r"([0-9]{1,18})", name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def _composed(name: str) -> str:
    # Some file systems store é as e and an accent; a configuration has it as one letter.
    return unicodedata.normalize("NFC", name)
