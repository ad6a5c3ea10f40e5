"""Images that somebody brings, of any generator, as images of a study's shape."""

from __future__ import annotations

import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.data.arrays import MAX_PIXELS, Rows, blocks_of, open_arrays
from imgcollapse.data.decode import FORMATS, UnusableError, decode, in_threads, quietly, to_array
from imgcollapse.data.file_tree import Parts, SafeTree, display_path, expand_home, open_tree
from imgcollapse.data.folder_layout import IMAGE
from imgcollapse.data.safe_zip import DEFAULT, Limits

MAX_BYTES = 1 << 30
"""All images together, at the study's shape, may take no more."""

SHOWN = 10
"""So many of the images that are left out are named."""

SAMPLES = "samples.safetensors"
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ImportedImages:
    """N images of a study's shape.

    Attributes:
        images: uint8[N, C, H, W]; labels are the classes asked for, `UNKNOWN` where nobody says.
        remarks: one line for everything that was done to them, and for each that was left out.
    """

    images: Images
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """One image as it is now, and how it came: (width, height), and whether it was gray."""

    pixels: np.ndarray
    size: tuple[int, int]
    gray: bool


def load_images(
    source: Path | Images, shape: Shape, classes: Sequence[str], limits: Limits = DEFAULT
) -> ImportedImages:
    """Open images and scale and crop them to a study's size, in gray or RGB as the study's are.

    Args:
        source: a folder of images or a zip of one, at any depth; an .npz or .safetensors file
            (arrays.py); the folder of a generation of a run; or images in memory.
        shape: channels, height and width.
        classes: K names; folders so called say which class was asked for, and so do labels.
        limits: how much is read of files.

    Raises:
        UserError: there is no such path, or nothing in it can be used.
    """
    if isinstance(source, Images):
        if not len(source):
            raise UserError("images: there are none; hand over at least one")
        rows = Rows(len(source), blocks_of(source.pixels.numpy()))
        pixels, remarks = _from_rows("images", rows, shape)
        return ImportedImages(Images(pixels, source.labels), tuple(remarks))
    path = expand_home(source)
    if not _exists(path):
        raise UserError(f"{path}: does not exist; name a folder, zip, npz or safetensors of images")
    if any(any(path.glob(f"{below}gen_*/{SAMPLES}")) for below in ("", "lineage_*/")):
        raise UserError(f"{path}: is a run folder; name one generation of it, such as gen_001")
    file = path / SAMPLES if (path / SAMPLES).is_file() else path
    if file.suffix in (".npz", ".safetensors"):
        with open_arrays(file, limits) as rows:
            pixels, remarks = _from_rows(str(file), rows, shape)
        by_name = file.suffix == ".npz"  # in a safetensors file of ours labels are class numbers
        labels, more = _from_array(rows.labels, len(pixels), classes, by_name)
        return ImportedImages(Images(pixels, labels), (*remarks, *more))
    if not path.is_dir() and not (path.is_file() and zipfile.is_zipfile(path)):
        raise UserError(f"{path}: is no folder, zip, npz or safetensors; name one of these")
    with _said_of_images(), open_tree(path, limits) as tree, quietly():
        return _from_tree(path, tree, shape, classes)


def _from_rows(name: str, rows: Rows, shape: Shape) -> tuple[Tensor, list[str]]:
    pixels, at, came = _room(name, rows.number, shape), 0, []
    for block in rows.blocks:
        seen = in_threads(lambda image: _Seen(_fitted(image, shape), *_looks(image)), list(block))
        pixels[at : at + len(seen)] = [image.pixels for image in seen]
        at, came = at + len(seen), came + [(image.size, image.gray) for image in seen]
    return _channels_first(pixels), _what_was_done(came, shape)


def _from_tree(path: Path, tree: SafeTree, shape: Shape, classes: Sequence[str]) -> ImportedImages:
    files = sorted(parts for parts in tree.files if IMAGE.search(parts[-1]))
    if not files:
        raise UserError(f"{path}: holds no images, such as PNG or JPEG files; name what does")
    pixels = _room(str(path), len(files), shape)
    found = in_threads(lambda file: _open(tree, file, shape), files)
    usable = [(file, s) for file, s in zip(files, found, strict=True) if isinstance(s, _Seen)]
    unusable = [
        f"{display_path(file)}: left out, {why}"
        for file, why in zip(files, found, strict=True)
        if isinstance(why, str)
    ]
    if not usable:
        raise UserError(
            f"{path}: none of {len(files)} images can be used ({unusable[0]}); mend or replace them"
        )
    pixels = pixels[: len(usable)]
    for row, (_, seen) in enumerate(usable):
        pixels[row] = seen.pixels
    remarks = [f"{display_path(name)}: left out, {why}" for name, why in tree.refused[:SHOWN]]
    remarks += ["and so on"] * (len(tree.refused) > SHOWN)
    if unusable:
        remarks.append(f"{len(unusable):,} of {len(files):,} images cannot be used")
        remarks += unusable[:SHOWN] + ["and so on"] * (len(unusable) > SHOWN)
    remarks += _what_was_done([(seen.size, seen.gray) for _, seen in usable], shape)
    named = [_class_of(file, classes) for file, _ in usable]
    if 0 < named.count(UNKNOWN) < len(named):
        remarks.append(
            f"{named.count(UNKNOWN)} of {len(named)} images lie in no folder named like a class: "
            "the folders are not taken for the classes asked for"
        )
        named = [UNKNOWN] * len(named)
    labels = torch.tensor(named, dtype=torch.int16)
    return ImportedImages(Images(_channels_first(pixels), labels), tuple(remarks))


def _open(tree: SafeTree, file: Parts, shape: Shape) -> _Seen | str:
    """One image, or why it cannot be used."""
    channels, height, width = shape
    try:
        data = tree.read(file)
        image = decode(data, height if height == width else None, channels, MAX_PIXELS)
    except UnusableError as error:
        return str(error)
    with Image.open(BytesIO(data), formats=FORMATS) as header:
        gray = header.mode in ("1", "L", "LA", "I") or header.mode.startswith("I;16")
        return _Seen(_fitted(image, shape), header.size, gray)


def _fitted(image: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8[h, w, 1 or 3] => uint8[H, W, C], with the filter that smooths before it shrinks."""
    channels, height, width = shape
    if image.shape == (height, width, channels):
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture = Image.fromarray(
        to_array(picture, None, channels).squeeze(-1 if channels == 1 else ())
    )
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return np.array(picture).reshape(height, width, channels)


def _looks(image: np.ndarray) -> tuple[tuple[int, int], bool]:
    height, width, channels = image.shape
    return (width, height), channels == 1


def _what_was_done(came: Sequence[tuple[tuple[int, int], bool]], shape: Shape) -> list[str]:
    channels, height, width = shape
    remarks = []
    sizes = Counter(size for size, _ in came if size != (width, height))
    if sizes:
        (w, h), _ = sizes.most_common(1)[0]
        such = f"{w}x{h}" if len(sizes) == 1 else f"{len(sizes)} sizes, such as {w}x{h},"
        remarks.append(
            f"{sizes.total():,} of {len(came):,} images scaled and cropped from {such} to "
            f"{width}x{height}"
        )
    if other := sum(gray != (channels == 1) for _, gray in came):
        change = "RGB to gray" if channels == 1 else "gray to RGB"
        remarks.append(f"{other:,} of {len(came):,} images turned from {change}")
    return remarks


def _room(name: str, number: int, shape: Shape) -> np.ndarray:
    channels, height, width = shape
    if number * prod(shape) > MAX_BYTES:
        most = MAX_BYTES // prod(shape)
        raise UserError(
            f"{name}: {number:,} images of {width}x{height} are more than fit into memory; "
            f"hand over {most:,} at most"
        )
    return np.empty((number, height, width, channels), np.uint8)


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _class_of(file: Parts, classes: Sequence[str]) -> int:
    """The class that the innermost folder with a class's name says."""
    folders = [unicodedata.normalize("NFC", name) for name in file[-2::-1]]
    return next((classes.index(name) for name in folders if name in classes), UNKNOWN)


def _from_array(
    labels: np.ndarray | None, number: int, classes: Sequence[str], by_name: bool
) -> tuple[Tensor, list[str]]:
    """Class numbers int16[N] of labels, which are names of classes or else their numbers."""
    unknown = torch.full((number,), UNKNOWN, dtype=torch.int16)
    if labels is None:
        return unknown, []
    if labels.shape != (number,):
        there = " x ".join(map(str, labels.shape)) or "one"
        return unknown, [f"labels: {there} for {number} images, so they are not used"]
    names = {name: label for label, name in enumerate(classes)}
    values, where = np.unique(labels, return_inverse=True)
    if by_name and all(str(value) in names for value in values):
        known, remarks = [names[str(value)] for value in values], []
    elif labels.dtype.kind in "iu" and UNKNOWN <= values.min() <= values.max() < len(classes):
        known = values.tolist()
        ours = f"labels: taken for class numbers of the study, where 0 is {classes[0]}"
        remarks = [ours] if by_name else []
    else:
        unknown_ones = [str(value) for value in values if str(value) not in names]
        strange = display_path((unknown_ones or [str(values[-1])])[-1])
        return unknown, [f"labels: {strange} is no class of the study, so they are not used"]
    return torch.tensor(known, dtype=torch.int16)[torch.from_numpy(where)], remarks


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, or below a folder that is closed to us
        return False


@contextmanager
def _said_of_images() -> Iterator[None]:
    """What is wrong with a tree is not said of a study's setting."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).removeprefix("data.path: ")) from None
