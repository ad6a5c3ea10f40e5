"""Reads classes and splits out of the paths of a folder, zip or tar; opens no file.

A layout is read only where one reading is left. Otherwise it is refused, with the setting that
decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from imgcollapse.core.errors import UserError
from imgcollapse.data.passed_over import Parts, PassedOver, count_of, display_path

Part = Literal["train", "test"]
LayoutSetting = Literal["auto", "classes", "leaves", "splits"]

IMAGE_NAME = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|webp|bmp|dib|gif|tiff?|p[bgnp]m|hei[cf]|avif|jp2|jxl|tga|ico|psd)$",
    re.IGNORECASE,
)
"""Names of image files, including formats that cannot be read: those are listed as left out."""

_CONTAINER = re.compile(r"(jpeg)?(images?|imgs?|photos?|pictures?|pics|data)", re.IGNORECASE)
_ANNOTATION = re.compile(
    r"(annotations?|labels?|(segmentation)?masks?|segmentations?|segmentationclass|trimaps?|xmls?"
    r"|bounding[ _]?box(es)?|bbox(es)?|ground[ _]?truths?|gts?|depths?|edges?|boundar(y|ies)"
    r"|segmentationobject|saliency|(key)?points|landmarks)",
    re.IGNORECASE,
)

_ROLES = {
    "train": r"train|training|trn|trainval",
    "test": r"test|testing|tst|val|valid|validation|dev|eval|evaluation|holdout",
    "unlabeled": r"pred|predict|prediction|predictions|unlabell?ed|unsup|unsupervised|submission",
}
_ROLE = re.compile(
    "(?:"
    + "|".join(f"(?P<{k}>{v})" for k, v in _ROLES.items())
    + r")(?:set|data|images?|imgs?)?\d*"
)
_GENERIC = re.compile(
    r"(seg|sets?|splits?|data|dataset|images?|imgs?|pics?|pictures?|photos?|folder|final|part|raw"
    r"|jpe?g|png|rgb)?\d*"
)


class ImageFile(NamedTuple):
    """One image file: the set it belongs to, its class number and its path."""

    part: Part
    label: int
    path: Parts


@dataclass(frozen=True)
class Layout:
    """What paths mean.

    Attributes:
        name: the layout in words.
        classes: their names in natural order.
        files: the images of all classes, by class and then in natural order.
        passed_over: every path that is not read.
        remarks: one line for each thing the user should know.
    """

    name: str
    classes: tuple[str, ...]
    files: list[ImageFile]
    passed_over: list[PassedOver]
    remarks: list[str]


@dataclass
class _Folder:
    """A folder with images in it or below it."""

    path: Parts
    images: list[Parts] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def walk(self) -> Iterator[_Folder]:
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    def all_images(self) -> list[Parts]:
        return [path for folder in self.walk() for path in folder.images]

    @property
    def name(self) -> str:
        return display_path(self.path)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which 2 comes before 10."""
    pieces = re.split(r"([0-9]{1,18})", name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def read_layout(
    files: Collection[Parts],
    folders: Collection[Parts],
    where: str,
    setting: LayoutSetting = "auto",
) -> Layout:
    """Read `<class>/<file>` or `<split>/<class>/<file>`, in whatever folders these are wrapped.

    Args:
        files: paths of all files, clutter left out.
        folders: paths of all folders that are listed; those of files need not be.
        where: the start of error messages.
        setting: "classes" takes every top folder as a class and "leaves" every folder that holds
            images; "splits" reads train and test folders.

    Raises:
        UserError: there are no images in class folders, or more than one reading is left.
    """
    reading = _Reading(where, setting)
    top = _build(path for path in files if IMAGE_NAME.search(path[-1]))
    node = reading.descend(top)
    parts = reading.parts(node)
    members: dict[str, list[tuple[Part, Parts]]] = {}
    deeper: list[Parts] = []
    for part, found in parts:
        for folder in found:
            name = unicodedata.normalize("NFC", folder.path[-1])
            images = folder.images if setting == "leaves" else folder.all_images()
            members.setdefault(name, []).extend((part, path) for path in images)
            deeper += [path for path in images if len(path) > len(folder.path) + 1]
    if not members:
        raise UserError(
            f"{where} holds no images in class folders; it needs <class>/<file>, such as cat/1.png"
        )
    classes = tuple(sorted(members, key=natural_key))
    chosen = [
        ImageFile(part, label, path)
        for label, name in enumerate(classes)
        for part, path in sorted(members[name], key=lambda member: natural_key("/".join(member[1])))
    ]
    taken = {file.path for file in chosen} | set(reading.unlabeled)
    passed = [
        PassedOver("unlabeled", display_path(path), "its split has no class folders")
        for path in reading.unlabeled
    ]
    for path in sorted(files):
        if not IMAGE_NAME.search(path[-1]):
            passed.append(PassedOver("not an image", display_path(path), "not named like an image"))
        elif path not in taken:
            passed.append(PassedOver("outside", display_path(path), "it is in no class folder"))
    passed += [
        PassedOver("empty folder", display_path(path), "it holds no images")
        for path in _without_images(top, files, folders)
    ]
    remarks = reading.remarks
    if deeper:
        remarks.append(
            f"{count_of(len(deeper), 'image')} in deeper folders taken for the class folder above: "
            f"{display_path(deeper[0])}"
        )
    return Layout(reading.name, classes, chosen, passed, remarks)


class _Reading:
    """The decisions on one tree of folders."""

    def __init__(self, where: str, setting: LayoutSetting) -> None:
        self.where, self.setting = where, setting
        self.name = "class folders"
        self.unlabeled: list[Parts] = []
        self.remarks: list[str] = []

    def descend(self, folder: _Folder, inside: bool = False) -> _Folder:
        """The folder around all classes or splits; `inside` a split its copies are passed, too."""
        while True:
            below = list(_without_annotations(folder).values())
            if len(below) != 1 or below[0].images:
                return folder
            (only,) = below
            role = _role(only.path[-1])
            if inside:
                named = role or _CONTAINER.fullmatch(only.path[-1])
                if folder.images or not (named or len(only.folders) > 1):
                    return folder
            elif (role and role[0] == "train") or (folder.images and len(only.folders) < 2):
                return folder
            folder = only

    def parts(self, top: _Folder) -> list[tuple[Part, list[_Folder]]]:
        """The class folders of each split."""
        below = _without_annotations(top)
        if self.setting == "classes":
            return [("train", list(below.values()))]
        if self.setting == "leaves":
            return [("train", [f for f in top.walk() if f.images and f is not top])]
        roles = split_roles(below)
        if not roles:
            if self.setting == "splits":
                raise UserError(
                    f"{self.where} has no folders called train and test ({_names(below)}), as "
                    "data.layout=splits asks; rename them, or set data.layout=classes"
                )
            self._check_classes(below)
            return [("train", list(below.values()))]
        others = [folder for name, folder in below.items() if name not in roles]
        flat = [name for name in roles if self._is_flat(below[name])]
        trains = [name for name, role in roles.items() if role == "train"]
        labelled = [n for n, role in roles.items() if role == "test" and n not in flat]
        if others and self.setting == "auto":
            one_name = len(flat) == len(roles) == 1 and roles[flat[0]] != "unlabeled"
            if one_name and all(folder.images for folder in others):  # a class that is called train
                return [("train", list(below.values()))]
            shared = self._class_names(below, trains) & self._class_names(below, labelled)
            alike = any(shared & set(folder.folders) for folder in others)
            if set(trains) & set(flat) or not shared or alike:
                self._ambiguous(
                    f"{_names(roles)} may be a split or a class beside "
                    f"{_names([folder.path[-1] for folder in others])}"
                )
        if not trains:
            self._ambiguous(f"{_names(roles)} may be splits without a train folder, or classes")
        if set(trains) & set(flat):
            raise UserError(
                f"{self.where}: {_names(roles)} look like splits without class folders; put each "
                f"class into a folder, such as {display_path(flat[0])}/cat/1.png, or set "
                "data.layout=classes if these are the classes"
            )
        return self._splits(below, roles, flat)

    def _splits(
        self, below: dict[str, _Folder], roles: dict[str, str], flat: list[str]
    ) -> list[tuple[Part, list[_Folder]]]:
        found: list[tuple[Part, list[_Folder]]] = []
        for name, role in sorted(roles.items()):
            if role == "unlabeled" or name in flat:
                self.unlabeled += below[name].all_images()
                continue
            folder = self.descend(below[name], inside=True)
            classes = _without_annotations(folder)
            if role == "train":
                self._check_classes(classes)
            part: Part = "train" if role == "train" else "test"
            found.append((part, list(classes.values())))
            self.remarks.append(f"{folder.name}: read as the {part} images")
        self.name = "train and test folders" if len(found) > 1 else "a train folder"
        return found

    def _class_names(self, below: dict[str, _Folder], names: list[str]) -> set[str]:
        folders = [self.descend(below[name], inside=True) for name in names]
        return {unicodedata.normalize("NFC", name) for folder in folders for name in folder.folders}

    def _is_flat(self, folder: _Folder) -> bool:
        """Whether most images of a split are in no class folder."""
        inner = self.descend(folder, inside=True)
        below = _without_annotations(inner)
        unnamed = all(_role(name) or _is_part(name) for name in below)
        classified = sum(len(one.all_images()) for one in below.values())
        return (unnamed and all(one.images for one in below.values())) or (
            2 * classified < len(inner.all_images())
        )

    def _check_classes(self, below: dict[str, _Folder]) -> None:
        """Refuse folders that need not be classes."""
        if len(set(split_roles(below).values())) > 1 and len(split_roles(below)) == len(below):
            self._ambiguous(f"{_names(below)} are called like splits where classes are expected")
        if below and all(map(_is_part, below)):
            self._ambiguous(f"{_names(below)} are called like parts of a data set, not classes")
        deep = [one for one in below.values() if not one.images and len(one.folders) > 1]
        if len(below) > 1 and 2 * len(deep) > len(below):
            self._ambiguous(
                f"{deep[0].name} holds {_names(deep[0].folders)}, and {len(deep)} of {len(below)} "
                "folders are like it: either level may be the classes"
            )

    def _ambiguous(self, what: str) -> None:
        raise UserError(
            f"{self.where}: {what}; set data.layout=classes (each top folder is a class), "
            "data.layout=leaves (each folder that holds images), or data.layout=splits, or name a "
            "folder further in"
        )


def split_roles(names: Collection[str]) -> dict[str, str]:
    """Folder name => "train", "test" or "unlabeled", for those named like splits.

    A name with another word, such as `asl_train`, counts only beside another with the same word.
    """
    found = {name: role for name in names if (role := _role(name))}
    roles = {stem: {r for r, s in found.values() if s == stem} for _, stem in found.values()}
    return {name: role for name, (role, stem) in found.items() if not stem or len(roles[stem]) > 1}


def _role(name: str) -> tuple[str, str] | None:
    """The role that a name states, and its other words."""
    words = [w for w in re.split(r"[^a-z0-9]+", name.lower()) if not _GENERIC.fullmatch(w)]
    matches = [_ROLE.fullmatch(word) for word in words]
    stated = [at for at, match in enumerate(matches) if match]
    if len(stated) != 1 or stated[0] not in (0, len(words) - 1):
        return None
    match, stem = matches[stated[0]], words[: stated[0]] + words[stated[0] + 1 :]
    return (match.lastgroup or "", "_".join(stem)) if match else None


def _is_part(name: str) -> bool:
    """Whether a folder is called like a part of a data set, such as images or masks."""
    return bool(_CONTAINER.fullmatch(name) or _ANNOTATION.fullmatch(name))


def _build(images: Iterator[Parts]) -> _Folder:
    top = _Folder(())
    for path in images:
        folder = top
        for depth, name in enumerate(path[:-1], 1):
            folder = folder.folders.setdefault(name, _Folder(path[:depth]))
        folder.images.append(path)
    return top


def _without_annotations(folder: _Folder) -> dict[str, _Folder]:
    """The folders in a folder, less masks and the like that are beside one folder of images."""
    images = [name for name in folder.folders if _CONTAINER.fullmatch(name)]
    rest = [name for name in folder.folders if name not in images]
    annotated = len(images) == 1 and rest and all(map(_ANNOTATION.fullmatch, rest))
    if annotated and not folder.folders[images[0]].images:
        return {images[0]: folder.folders[images[0]]}
    return folder.folders


def _without_images(
    top: _Folder, files: Collection[Parts], folders: Collection[Parts]
) -> list[Parts]:
    """The outermost folders without images."""
    filled = {folder.path for folder in top.walk()}
    every = {path[:at] for path in files for at in range(1, len(path))} | set(folders)
    return sorted(path for path in every if path not in filled and path[:-1] in filled)


def _names(names: Collection[str]) -> str:
    listed = [display_path(name) for name in list(names)[:3]]
    return ", ".join(listed) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
