"""Imports images of any generator, scaled and cropped to a study's shape."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.data.archives import DEFAULT, Limits
from imgcollapse.data.arrays import MAX_PIXELS, ImageBlocks, open_arrays, split_blocks
from imgcollapse.data.decode import (
    decode,
    map_threads,
    open_image,
    pillow_warnings_off,
    to_array,
)
from imgcollapse.data.file_tree import (
    SafeTree,
    expand_home,
    is_archive,
    left_out,
    open_tree,
    path_exists,
)
from imgcollapse.data.layout import IMAGE_NAME
from imgcollapse.data.passed_over import Parts, display_path, first_of

MAX_BYTES = 1 << 30
"""Largest size of all images together, at the study's shape."""

SAMPLES = "samples.safetensors"
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class ImportedImages:
    """N images of a study's shape.

    Attributes:
        images: uint8[N, C, H, W]; labels are the classes asked for, `UNKNOWN` if not given.
        remarks: one line for each conversion, and for each image that was left out.
    """

    images: Images
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Imported:
    """One converted image, with its original (width, height) and whether it was gray."""

    pixels: np.ndarray
    size: tuple[int, int]
    gray: bool


def load_images(
    source: Path | Images, shape: Shape, classes: Sequence[str], limits: Limits = DEFAULT
) -> ImportedImages:
    """Read images and scale, crop and convert them to a study's shape (gray or RGB).

    Args:
        source: a folder of images or a zip of one, at any depth; an .npz or .safetensors file
            (arrays.py); the folder of a generation of a run; or images in memory.
        shape: channels, height and width.
        classes: K names; folders of these names give the class asked for, and so do labels.
        limits: limits on the files that are read.

    Raises:
        UserError: there is no such path, or none of its images can be used.
    """
    if isinstance(source, Images):
        if not len(source):
            raise UserError("images: there are none; pass at least one")
        blocks = ImageBlocks(len(source), split_blocks(source.pixels.numpy()))
        pixels, remarks = _from_blocks("images", blocks, shape)
        return ImportedImages(Images(pixels, source.labels), tuple(remarks))
    path = expand_home(source)
    if not path_exists(path):
        raise UserError(f"{path}: does not exist; name a folder, zip, npz or safetensors of images")
    if any(any(path.glob(f"{below}gen_*/{SAMPLES}")) for below in ("", "lineage_*/")):
        raise UserError(f"{path}: is a run folder; name one generation of it, such as gen_001")
    file = path / SAMPLES if (path / SAMPLES).is_file() else path
    if file.suffix in (".npz", ".safetensors"):
        with open_arrays(file, limits) as blocks:
            pixels, remarks = _from_blocks(str(file), blocks, shape)
        by_name = file.suffix == ".npz"  # in our own safetensors files labels are class numbers
        if blocks.labels is not None and len(blocks.labels) != len(pixels):
            raise UserError(
                f"{file}: {len(blocks.labels)} labels for {len(pixels)} images; save one for each, "
                "or leave them out"
            )
        labels, more = _class_numbers(blocks.labels, len(pixels), classes, by_name)
        return ImportedImages(Images(pixels, labels), (*remarks, *more))
    if not path.is_dir() and not is_archive(path):
        raise UserError(f"{path}: is not a folder, zip, tar, npz or safetensors; name one of these")
    with open_tree(path, limits, setting="") as tree, pillow_warnings_off():
        return _from_tree(path, tree, shape, classes)


def _from_blocks(name: str, blocks: ImageBlocks, shape: Shape) -> tuple[Tensor, list[str]]:
    pixels, at, originals = _allocate(name, blocks.number, shape), 0, []

    def convert(image: np.ndarray) -> _Imported:
        height, width, channels = image.shape
        return _Imported(_resize(image, shape), (width, height), channels == 1)

    for block in blocks.blocks:
        converted = map_threads(convert, list(block))
        pixels[at : at + len(converted)] = [image.pixels for image in converted]
        at += len(converted)
        originals += [(image.size, image.gray) for image in converted]
    return _channels_first(pixels), _conversions(originals, shape)


def _from_tree(path: Path, tree: SafeTree, shape: Shape, classes: Sequence[str]) -> ImportedImages:
    files = sorted(parts for parts in tree.files if IMAGE_NAME.search(parts[-1]))
    if not files:
        raise UserError(f"{path}: holds no images; name a folder of PNG, JPEG or other image files")
    pixels = _allocate(str(path), len(files), shape)
    decoded = tree.map_files(files, lambda data: _decode(data, shape))
    results = list(zip(files, decoded, strict=True))
    usable = [(file, image) for file, image in results if isinstance(image, _Imported)]
    unusable = [left_out(file, reason) for file, reason in results if isinstance(reason, str)]
    if not usable:
        raise UserError(
            f"{path}: none of {len(files)} images can be used ({unusable[0]}); replace them"
        )
    pixels = pixels[: len(usable)]
    for row, (_, image) in enumerate(usable):
        pixels[row] = image.pixels
    refused = [one for one in tree.passed_over if one.kind in ("refused", "circle")]
    remarks = [*tree.remarks, *first_of([left_out(one.path, one.reason) for one in refused])]
    if unusable:
        remarks.append(f"{len(unusable):,} of {len(files):,} images cannot be used")
        remarks += first_of(unusable)
    remarks += _conversions([(image.size, image.gray) for _, image in usable], shape)
    labels = [_class_of(file, classes) for file, _ in usable]
    if 0 < labels.count(UNKNOWN) < len(labels):
        remarks.append(
            f"{labels.count(UNKNOWN)} of {len(labels)} images are in no folder named like a class: "
            "folder names are not used as the classes asked for"
        )
        labels = [UNKNOWN] * len(labels)
    images = Images(_channels_first(pixels), torch.tensor(labels, dtype=torch.int16))
    return ImportedImages(images, tuple(remarks))


def _decode(data: bytes, shape: Shape) -> _Imported:
    channels, height, width = shape
    image = decode(data, height if height == width else None, channels, MAX_PIXELS)
    with open_image(data) as header:
        gray = header.mode in ("1", "L", "LA", "I") or header.mode.startswith("I;16")
        return _Imported(_resize(image, shape), header.size, gray)


def _resize(pixels: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8[h, w, 1 or 3] => uint8[H, W, C], scaled by antialiased bicubic interpolation."""
    channels, height, width = shape
    if pixels.shape == (height, width, channels):
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image = Image.fromarray(to_array(image, None, channels).squeeze(-1 if channels == 1 else ()))
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    return np.array(image).reshape(height, width, channels)


def _conversions(originals: Sequence[tuple[tuple[int, int], bool]], shape: Shape) -> list[str]:
    """Remarks on how many images changed in size or color."""
    channels, height, width = shape
    remarks = []
    sizes = Counter(size for size, _ in originals if size != (width, height))
    if sizes:
        (w, h), _ = sizes.most_common(1)[0]
        such = f"{w}x{h}" if len(sizes) == 1 else f"{len(sizes)} sizes, such as {w}x{h},"
        remarks.append(
            f"{sizes.total():,} of {len(originals):,} images scaled and cropped from {such} to "
            f"{width}x{height}"
        )
    if recolored := sum(gray != (channels == 1) for _, gray in originals):
        change = "RGB to gray" if channels == 1 else "gray to RGB"
        remarks.append(f"{recolored:,} of {len(originals):,} images converted from {change}")
    return remarks


def _allocate(name: str, number: int, shape: Shape) -> np.ndarray:
    channels, height, width = shape
    if number * prod(shape) > MAX_BYTES:
        most = MAX_BYTES // prod(shape)
        raise UserError(
            f"{name}: {number:,} images of {width}x{height} do not fit into memory; "
            f"use at most {most:,}"
        )
    return np.empty((number, height, width, channels), np.uint8)


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _class_of(file: Parts, classes: Sequence[str]) -> int:
    """The class named by the innermost folder that has a class's name."""
    folders = [unicodedata.normalize("NFC", name) for name in file[-2::-1]]
    return next((classes.index(name) for name in folders if name in classes), UNKNOWN)


def _class_numbers(
    labels: np.ndarray | None, number: int, classes: Sequence[str], by_name: bool
) -> tuple[Tensor, list[str]]:
    """Class numbers int16[N] of labels that are class names or class numbers, and remarks."""
    unknown = torch.full((number,), UNKNOWN, dtype=torch.int16)
    if labels is None:
        return unknown, []
    names = {name: label for label, name in enumerate(classes)}
    values, inverse = np.unique(labels, return_inverse=True)
    if by_name and all(str(value) in names for value in values):
        numbers, remarks = [names[str(value)] for value in values], []
    elif labels.dtype.kind in "iu" and UNKNOWN <= values.min() <= values.max() < len(classes):
        numbers = values.tolist()
        used = f"labels: used as class numbers of the study, where 0 is {classes[0]}"
        remarks = [used] if by_name else []
    else:
        others = [str(value) for value in values if str(value) not in names]
        example = display_path((others or [str(values[-1])])[-1])
        return unknown, [f"labels: {example} is not a class of the study, so they are not used"]
    return torch.tensor(numbers, dtype=torch.int16)[torch.from_numpy(inverse)], remarks
