"""Decodes one image file to pixels.

The format is recognized by the content, not by the name. In this order: the first frame of an
animation is taken; the image is turned upright by its EXIF data; 16 bits become 8; its colors are
converted to sRGB by its ICC profile (a damaged profile, or one of another kind of image, is
ignored, as browsers do), CMYK without a profile by Pillow's rule; transparent pixels are put on
white. A file that cannot be read in full is not used: the checksums of PNG files are compared.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from threading import Condition
from typing import Any, TypeVar

import joblib
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from imgcollapse.core.sanitize import first_line, one_line

Item = TypeVar("Item")
Result = TypeVar("Result")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The only decoders that are tried, whatever the name of a file."""

_MAX_PROFILE_BYTES = 2**22
"""Profiles of printing presses take about two million bytes."""

_ROUNDING = 2
"""Largest difference in levels between versions of sRGB; such a profile is taken for sRGB."""

_PROFILE_MODES = {"RGB ": ("RGB",), "CMYK": ("CMYK",), "GRAY": ("L",)}
"""Color space of a profile => modes of the images it can belong to."""


class UnusableError(Exception):
    """An image cannot be used; the message says why."""


class MemoryBudget:
    """A number of bytes shared by threads: each waits until enough of them are free."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.changed = Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Reserve bytes for a block; a block that needs more than the whole budget runs alone."""
        amount = min(amount, self.size)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= amount)
            self.free -= amount
        try:
            yield
        finally:
            with self.changed:
                self.free += amount
                self.changed.notify_all()


_DECODING_BUDGET = MemoryBudget(2**30)
_BYTES_PER_PIXEL = 20
"""Upper bound while decoding: the image, the image on white, and the array."""


def decode(data: bytes, size: int | None, channels: int, max_pixels: int) -> np.ndarray:
    """Decode an image file to uint8[H, W, C]; of an animation, the first frame.

    Args:
        data: the whole file.
        size: side of the square the image is scaled and cropped to; None keeps its size.
        channels: 1 (gray) or 3 (RGB).
        max_pixels: larger images are not decoded.

    Raises:
        UnusableError: the file is not an image, is damaged, or is too large.
    """
    if not data:
        raise UnusableError("empty file")
    try:
        with open_image(data) as image:
            if image.width * image.height > max_pixels:
                raise UnusableError(
                    f"{image.width}x{image.height} is over data.max_pixels={max_pixels}"
                )
            if size is not None:
                # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size in a fraction of the time.
                image.draft(None, (2 * size, 2 * size))
            with _DECODING_BUDGET.reserve(_BYTES_PER_PIXEL * image.width * image.height):
                return to_array(image, size, channels)
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError(f"not a readable {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Exception as error:  # a decoder given damaged bytes may raise anything
        raise UnusableError(one_line(first_line(error), 200)) from None


def open_image(data: bytes) -> Image.Image:
    """Open an image file without its texts; the checksums of a PNG are compared."""
    clean = _clean_png(data) if data.startswith(_PNG) else data
    return Image.open(BytesIO(clean), formats=FORMATS)


def to_array(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    """Convert an opened image to uint8[H, W, C]: upright, on white, 8 bits per channel.

    With a `size` the shorter side is scaled to it and the center is cropped.

    Raises:
        UnusableError: the range of its pixel values is unknown.
    """
    ImageOps.exif_transpose(image, in_place=True)
    image = _on_white(_to_srgb(_eight_bit(image))).convert("RGB")
    if channels == 1:
        image = image.convert("L")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.array(image).reshape(image.height, image.width, channels)


_PNG = b"\x89PNG\r\n\x1a\n"


_MAX_TEXT = 2**20
"""Pillow refuses a PNG with a longer text."""


def _clean_png(data: bytes) -> bytes:
    """Leave out texts, and compare the checksum of every chunk.

    Pillow compares none of the pixel data, and refuses the whole image for a long text.
    """
    at, kind, start = len(_PNG), b"", 0
    pieces: list[memoryview] = []
    view = memoryview(data)
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise UnusableError("truncated")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            name = one_line(kind.decode("latin-1"))
            raise UnusableError(f"damaged: the checksum of its chunk {name} is wrong")
        if kind in (b"tEXt", b"zTXt", b"iTXt") and not _orients(kind, data[at + 8 : end]):
            pieces.append(view[start:at])
            start = end + 4
        at = end + 4
    return b"".join([*pieces, view[start:]]) if pieces else data


def _orients(kind: bytes, chunk: bytes) -> bool:
    """Whether a text chunk of a PNG may state how the image is turned, and Pillow can read it."""
    keyword, _, text = chunk.partition(b"\0")
    if keyword not in (b"Raw profile type exif", b"XML:com.adobe.xmp"):
        return False
    packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    if not packed:
        return len(text) <= _MAX_TEXT
    body = text[1:] if kind == b"zTXt" else text[2:].split(b"\0", 2)[-1]
    decompressor = zlib.decompressobj()
    try:
        decompressor.decompress(body, _MAX_TEXT)
    except zlib.error:
        return True  # Pillow decides
    return not decompressor.unconsumed_tail


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        values = np.asarray(image).astype(np.uint32)
        gray = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        if (transparent := image.info.get("transparency")) is not None:
            gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return gray
    if image.mode in ("I", "F"):
        raise UnusableError("the range of its 32-bit pixels is unknown; save it with 8 or 16 bits")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert by the ICC profile to RGB or RGBA; without a usable profile nothing changes."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= _MAX_PROFILE_BYTES:
        return image
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    try:
        transform = _srgb_transform(profile, image.mode)
        converted = image.convert("RGB") if transform is None else transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = image.convert("RGB")
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {}
    return converted


@lru_cache(maxsize=32)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform to sRGB; None if the profile is sRGB or does not fit the mode."""
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    header: Any = opened.profile
    if mode not in _PROFILE_MODES.get(header.xcolor_space, ()):
        return None
    # Without its cache of the last pixel a transform can be used by several threads.
    transform = ImageCms.ImageCmsTransform(
        opened,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.NOCACHE,
    )
    if mode == "CMYK":
        return transform
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    probe = Image.fromarray(colors if mode == "RGB" else levels[None])
    changed = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return transform if np.abs(changed).max() > _ROUNDING else None


@contextmanager
def pillow_warnings_off() -> Iterator[None]:
    """Ignore Pillow's warnings, but raise its warning of a decompression bomb as an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def map_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return `work` of every item, in order, computed on all cores (decoders release the GIL)."""
    # A future per image would cost more than decoding a small image.
    chunks = [items[start : start + 64] for start in range(0, len(items), 64)]
    with ThreadPoolExecutor(min(16, joblib.cpu_count())) as threads:
        chunk_results = threads.map(lambda chunk: [work(item) for item in chunk], chunks)
        return [result for chunk in chunk_results for result in chunk]
