"""Images in an .npz or a .safetensors file, read a few at a time: no file can fill the memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, prod
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import safe_open

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import one_line
from imgcollapse.data.safe_zip import DEFAULT, Limits, TooMuchError, open_zip, unreadable

IMAGE_KEYS = ("arr_0", "images")
LABEL_KEYS = ("labels", "arr_1")
"""`arr_1` holds the labels in the .npz files of ADM (Dhariwal & Nichol 2021, arXiv:2105.05233)."""

MAX_PIXELS = 64_000_000
"""An image of more pixels is not read."""

_BLOCK = 1 << 24
"""Bytes that are read at a time, or one image."""


@dataclass(frozen=True)
class Rows:
    """N images of one size in a file.

    Attributes:
        number: N.
        blocks: uint8[n, H, W, C] each, N images in all; only good while the file is open.
        labels: N class numbers or names, or none.
    """

    number: int
    blocks: Iterator[np.ndarray]
    labels: np.ndarray | None = None


@contextmanager
def open_arrays(path: Path, limits: Limits = DEFAULT) -> Iterator[Rows]:
    """Open an .npz (images under `arr_0`, `images` or the only key) or a .safetensors (`pixels`).

    The images are uint8, [N, H, W], [N, H, W, C] or [N, C, H, W]. Nothing is ever unpickled.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    try:
        with _npz(path, limits) if path.suffix == ".npz" else _safetensors(path) as rows:
            yield rows
    except UserError:
        raise
    except TooMuchError as error:
        raise UserError(f"{path}: {error}; raise the limit if you know where it is from") from None
    except Exception as error:  # a damaged file may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: cannot be read ({reason}); write it again") from None


def blocks_of(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """An array [N, C, H, W] in memory as blocks [n, H, W, C]."""
    step = max(1, _BLOCK // max(1, prod(pixels.shape[1:])))
    for start in range(0, len(pixels), step):
        yield pixels[start : start + step].transpose(0, 2, 3, 1)


@contextmanager
def _npz(path: Path, limits: Limits) -> Iterator[Rows]:
    with open_zip(path, limits) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        others = [name for name in names if name not in LABEL_KEYS]
        found = [key for key in IMAGE_KEYS if key in names] or (others if len(others) == 1 else [])
        if not found:
            held = one_line(", ".join(names[:5]), 200) or "nothing"
            raise UserError(f"{path}: holds {held}, and no arr_0 or images; save the images so")
        labels = None
        for key in LABEL_KEYS:
            if key in names and labels is None:
                with _member(archive, key, limits) as file:
                    labels = _labels(file)
        with _member(archive, found[0], limits) as file:
            shape, fortran, dtype = _header(file)
            order = _layout(path, shape, str(dtype))
            if fortran:
                raise UserError(
                    f"{path}: lies in Fortran order; save np.ascontiguousarray(images) instead"
                )
            yield Rows(shape[0], (b.transpose(order) for b in _stream(file, shape)), labels)


def _member(archive: zipfile.ZipFile, key: str, limits: Limits) -> IO[bytes]:
    """An array of an .npz, to be read bit by bit: so it may be long, and mostly empty."""
    found = [member for member in archive.infolist() if member.filename == f"{key}.npy"]
    if len(found) > 1:
        raise ValueError(f"two arrays are called {key}")
    if why := unreadable(found[0], replace(limits, max_bytes=limits.max_total, max_ratio=inf)):
        raise ValueError(why)
    return archive.open(found[0])


@contextmanager
def _safetensors(path: Path) -> Iterator[Rows]:
    with safe_open(path, framework="np") as tensors:
        names = list(tensors.keys())
        if "pixels" not in names:
            held = one_line(", ".join(names[:5]), 200)
            raise UserError(f"{path}: holds {held}, and no pixels; save them so")
        pixels = tensors.get_slice("pixels")
        shape = tuple(pixels.get_shape())
        dtype = "uint8" if pixels.get_dtype() == "U8" else pixels.get_dtype()
        order = _layout(path, shape, dtype)
        step = max(1, _BLOCK // prod(shape[1:]))
        starts = range(0, shape[0], step)
        labels = tensors.get_tensor("labels") if "labels" in names else None
        blocks = (_deep(pixels[a : min(a + step, shape[0])]).transpose(order) for a in starts)
        yield Rows(shape[0], blocks, labels)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it lies in Fortran order, and type; the file then stands at the data."""
    first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    return read(file)


def _labels(file: IO[bytes]) -> np.ndarray | None:
    """A small array of whole numbers or names; anything else is no labels."""
    shape, _, dtype = _header(file)
    if len(shape) != 1 or dtype.kind not in "iuU" or not 0 < shape[0] * dtype.itemsize < _BLOCK:
        return None
    labels = np.frombuffer(file.read(shape[0] * dtype.itemsize), dtype)
    labels.tolist()  # raises where names hold what is no character
    return labels


def _layout(path: Path, shape: tuple[int, ...], dtype: str) -> tuple[int, int, int, int]:
    """The axes N, H, W, C of blocks whose shape `_deep` has made four-dimensional."""
    if dtype != "uint8":
        raise UserError(
            f"{path}: its images are {dtype}, not uint8; save them as whole numbers 0 to 255"
        )
    if len(shape) == 3:
        shape = (*shape, 1)
    last = len(shape) == 4 and shape[3] in (1, 3)
    if not last and not (len(shape) == 4 and shape[1] in (1, 3)):
        raise UserError(
            f"{path}: its shape {list(shape)} is none of [N, H, W], [N, H, W, C] and "
            "[N, C, H, W] with 1 or 3 channels; save it as one of them"
        )
    if min(shape) < 1:
        raise UserError(f"{path}: holds no images (its shape is {list(shape)})")
    if prod(shape[1:]) > 3 * MAX_PIXELS:
        raise UserError(f"{path}: one image has more than {MAX_PIXELS} pixels; scale them down")
    return (0, 1, 2, 3) if last else (0, 2, 3, 1)


def _stream(file: IO[bytes], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    each, left = prod(shape[1:]), shape[0]
    while left:
        count = min(left, max(1, _BLOCK // each))
        data = file.read(count * each)
        if len(data) < count * each:
            raise ValueError("it ends early")
        yield _deep(np.frombuffer(data, np.uint8).reshape(count, *shape[1:]))
        left -= count
    if file.read(1):  # reading past the end is also what makes zipfile compare checksums
        raise ValueError("it is longer than it says")


def _deep(block: np.ndarray) -> np.ndarray:
    return block[..., None] if block.ndim == 3 else block
