"""Reads images from an .npz or .safetensors file block by block, in bounded memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, prod
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from safetensors import safe_open

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line, one_line
from imgcollapse.data.archives import (
    DEFAULT,
    LimitExceededError,
    Limits,
    open_zip,
    refusal_reason,
)

IMAGE_KEYS = ("arr_0", "images")
LABEL_KEYS = ("labels", "arr_1", "label", "y", "targets", "target")
"""`arr_1` holds the labels in the .npz files of ADM (Dhariwal & Nichol 2021, arXiv:2105.05233)."""

MAX_PIXELS = 64_000_000
"""Larger images are not read."""

_BLOCK_BYTES = 1 << 24
"""Size of a block, unless one image is larger."""


@dataclass(frozen=True)
class ImageBlocks:
    """N images of one size, read block by block.

    Attributes:
        number: N.
        blocks: uint8[n, H, W, C] each, N images in total; read them while the file is open.
        labels: N class numbers or names, or None.
    """

    number: int
    blocks: Iterator[np.ndarray]
    labels: np.ndarray | None = None


@contextmanager
def open_arrays(path: Path, limits: Limits = DEFAULT) -> Iterator[ImageBlocks]:
    """Open an .npz (images under `arr_0`, `images` or the only key) or a .safetensors (`pixels`).

    The images are uint8, [N, H, W], [N, H, W, C] or [N, C, H, W]. Pickled objects are not read.

    Raises:
        UserError: the file is damaged, or holds no such array.
    """
    try:
        with _npz(path, limits) if path.suffix == ".npz" else _safetensors(path) as images:
            yield images
    except UserError:
        raise
    except LimitExceededError as error:
        raise UserError(f"{path}: {error}; raise the limit if you trust its source") from None
    except Exception as error:  # a damaged file may raise anything
        raise UserError(f"{path}: cannot be read ({first_line(error)}); save it again") from None


def split_blocks(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Split an array [N, C, H, W] into blocks [n, H, W, C]."""
    step = max(1, _BLOCK_BYTES // max(1, prod(pixels.shape[1:])))
    for start in range(0, len(pixels), step):
        yield pixels[start : start + step].transpose(0, 2, 3, 1)


@contextmanager
def _npz(path: Path, limits: Limits) -> Iterator[ImageBlocks]:
    with open_zip(path, limits) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        others = [name for name in names if name not in LABEL_KEYS]
        keys = [key for key in IMAGE_KEYS if key in names] or (others if len(others) == 1 else [])
        if not keys:
            held = one_line(", ".join(names[:5]), 200) or "nothing"
            raise UserError(
                f"{path}: holds {held}, but no arr_0 or images; save the images under one of these"
            )
        labels = None
        for key in LABEL_KEYS:
            if key in names and labels is None:
                with _member(archive, key, limits) as file:
                    labels = _labels(path, key, file)
        with _member(archive, keys[0], limits) as file:
            shape, fortran, dtype = _header(file)
            order = _axis_order(path, shape, str(dtype))
            if fortran:
                raise UserError(
                    f"{path}: is in Fortran order; save np.ascontiguousarray(images) instead"
                )
            if labels is None:
                shapes = {}
                for key in set(names).difference(keys[:1]):
                    with _member(archive, key, limits) as other:
                        other_shape, _, kind = _header(other)
                        shapes[key] = other_shape if kind.kind in "iuUSb" else ()
                _refuse_other_labels(path, shape[0], shapes)
            yield ImageBlocks(shape[0], (b.transpose(order) for b in _stream(file, shape)), labels)


def _member(archive: zipfile.ZipFile, key: str, limits: Limits) -> IO[bytes]:
    """Open an array of an .npz; it is read block by block, so its size is limited by the total."""
    members = [member for member in archive.infolist() if member.filename == f"{key}.npy"]
    if len(members) > 1:
        raise ValueError(f"two arrays are called {key}")
    if why := refusal_reason(
        members[0], replace(limits, max_bytes=limits.max_total, max_ratio=inf)
    ):
        raise ValueError(why)
    return archive.open(members[0])


@contextmanager
def _safetensors(path: Path) -> Iterator[ImageBlocks]:
    with safe_open(path, framework="np") as tensors:
        names = list(tensors.keys())
        if "pixels" not in names:
            held = one_line(", ".join(names[:5]), 200)
            raise UserError(f"{path}: holds {held}, but no pixels; save the images as pixels")
        pixels = tensors.get_slice("pixels")
        shape = tuple(pixels.get_shape())
        dtype = "uint8" if pixels.get_dtype() == "U8" else pixels.get_dtype()
        order = _axis_order(path, shape, dtype)
        step = max(1, _BLOCK_BYTES // prod(shape[1:]))
        starts = range(0, shape[0], step)
        labels = None
        if "labels" in names:
            labels = plain_labels(path, "labels", tensors.get_tensor("labels"))
        else:
            others = {name: tensors.get_slice(name) for name in names if name != "pixels"}
            whole = {n: o for n, o in others.items() if o.get_dtype()[0] in "IU"}
            _refuse_other_labels(path, shape[0], {n: o.get_shape() for n, o in whole.items()})
        blocks = (
            _with_channels(pixels[a : min(a + step, shape[0])]).transpose(order) for a in starts
        )
        yield ImageBlocks(shape[0], blocks, labels)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read (shape, Fortran order or not, dtype); the file is then at the start of the data."""
    version_1 = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if version_1 else np.lib.format.read_array_header_2_0
    return read(file)


def _labels(path: Path, key: str, file: IO[bytes]) -> np.ndarray:
    """Read a small array of labels."""
    shape, fortran, dtype = _header(file)
    size = prod(shape) * dtype.itemsize
    if dtype.kind not in "iuUSbf" or fortran or not 0 < size < _BLOCK_BYTES or min(shape) < 0:
        _refuse_labels(path, key, shape, dtype)
    return plain_labels(path, key, np.frombuffer(file.read(size), dtype).reshape(shape))


def plain_labels(path: Path, key: str, labels: np.ndarray) -> np.ndarray:
    """Labels in a usual form as N whole numbers or names: [N], [N, 1], one-hot or bytes.

    Raises:
        UserError: they have another form.
    """
    given = labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    elif labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    elif labels.dtype.kind == "f" and (labels == np.trunc(labels)).all():
        labels = labels.astype(np.int64) if (abs(labels) < 2**53).all() else labels
    is_number = labels.ndim == 2 and labels.dtype.kind in "iu"
    if is_number and ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all():
        labels = labels.argmax(1)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        _refuse_labels(path, key, given.shape, given.dtype)
    labels.tolist()  # raises if names hold invalid characters
    return labels


def _refuse_labels(path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype) -> NoReturn:
    kind = dtype.name if dtype.names is None else "records"
    raise UserError(
        f"{path}: {key}: labels of type {kind} and shape {list(shape)} are not read; save N class "
        "numbers or names, or leave them out"
    )


def _refuse_other_labels(path: Path, n: int, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse whole numbers or names, one for each of n images, that are not called labels."""
    if found := sorted(key for key, shape in shapes.items() if tuple(shape) in ((n,), (n, 1))):
        raise UserError(
            f"{path}: holds {', '.join(found[:5])} beside {n} images, but no labels; save the "
            "class of each image as labels, and leave the others out"
        )


def _axis_order(path: Path, shape: tuple[int, ...], dtype: str) -> tuple[int, int, int, int]:
    """Positions of N, H, W, C among the axes that `_with_channels` returns."""
    if dtype != "uint8":
        raise UserError(
            f"{path}: its images are {dtype}, not uint8; save them as whole numbers 0 to 255"
        )
    if len(shape) == 3:
        shape = (*shape, 1)
    channels_last = len(shape) == 4 and shape[3] in (1, 3)
    if not channels_last and not (len(shape) == 4 and shape[1] in (1, 3)):
        raise UserError(
            f"{path}: its shape {list(shape)} is not [N, H, W], [N, H, W, C] or "
            "[N, C, H, W] with 1 or 3 channels; save it as one of these"
        )
    if min(shape) < 1:
        raise UserError(f"{path}: holds no images (its shape is {list(shape)}); save at least one")
    if prod(shape[1:]) > 3 * MAX_PIXELS:
        raise UserError(f"{path}: one image has more than {MAX_PIXELS} pixels; scale them down")
    return (0, 1, 2, 3) if channels_last else (0, 2, 3, 1)


def _stream(file: IO[bytes], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    image_bytes, remaining = prod(shape[1:]), shape[0]
    while remaining:
        count = min(remaining, max(1, _BLOCK_BYTES // image_bytes))
        data = file.read(count * image_bytes)
        if len(data) < count * image_bytes:
            raise ValueError("it ends early")
        yield _with_channels(np.frombuffer(data, np.uint8).reshape(count, *shape[1:]))
        remaining -= count
    if file.read(1):  # zipfile compares checksums when reading past the end
        raise ValueError("it is longer than its header states")


def _with_channels(block: np.ndarray) -> np.ndarray:
    return block[..., None] if block.ndim == 3 else block
