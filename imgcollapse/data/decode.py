"""One image file to pixels, whatever is odd about it.

A file is read as what it holds, whatever it is called. What is odd is undone in this order: of an
animation the first frame is taken; it is turned upright as its EXIF data say; 16 bits become 8; its
colours are converted to sRGB by its ICC profile (one that is damaged or of another kind of image is
passed over, as browsers do), CMYK without one by Pillow's rule; what is transparent is over white.
What cannot be read in full is not used: PNG files carry checksums, and they are compared.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from threading import Condition
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from imgcollapse.core.sanitize import one_line
from imgcollapse.data.icc import to_srgb

Item = TypeVar("Item")
Result = TypeVar("Result")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The only decoders that are ever tried, whatever a file is called."""


class UnusableError(Exception):
    """An image that cannot be used, and why."""


class MemoryBudget:
    """Memory that several threads share: each waits until there is enough for what it does."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.changed = Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """A block that needs so many bytes; one that needs more than there are runs alone."""
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


_ROOM = MemoryBudget(2**30)
_BYTES_A_PIXEL = 20
"""At most, while an image is decoded: itself, over white, and as an array."""


def decode(data: bytes, size: int | None, channels: int, max_pixels: int) -> np.ndarray:
    """The bytes of an image file => uint8[H, W, C]; of an animation, its first frame.

    Args:
        data: the whole file.
        size: side of the square it is scaled and cropped to, or None to leave it as it is.
        channels: 1 (gray) or 3 (RGB).
        max_pixels: a larger image is not decoded at all.

    Raises:
        UnusableError: it is no image, damaged, or too large.
    """
    if not data:
        raise UnusableError("empty file")
    try:
        if data.startswith(_PNG):
            _check_png(data)
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UnusableError(
                    f"{image.width}x{image.height} is over data.max_pixels={max_pixels}"
                )
            if size is not None:
                # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size in a fraction of the time.
                image.draft(None, (2 * size, 2 * size))
            with _ROOM.taken(_BYTES_A_PIXEL * image.width * image.height):
                return to_array(image, size, channels)
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError(f"not a readable {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Exception as error:  # a decoder given damaged bytes may raise anything
        lines = str(error).splitlines() or [type(error).__name__]
        raise UnusableError(one_line(lines[0], 200)) from None


def to_array(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    """An opened image => uint8[H, W, C], upright, over white, with 8 bits a channel.

    With a `size` the shorter side is scaled to it and the centre is cropped.

    Raises:
        UnusableError: its pixel values have no known range.
    """
    ImageOps.exif_transpose(image, in_place=True)
    image = _over_white(to_srgb(_eight_bit(image))).convert("RGB")
    if channels == 1:
        image = image.convert("L")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.array(image).reshape(image.height, image.width, channels)


_PNG = b"\x89PNG\r\n\x1a\n"


def _check_png(data: bytes) -> None:
    """Compare the checksum of every chunk, which Pillow does not do for the pixels themselves."""
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise UnusableError("truncated")
        if zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            name = one_line(kind.decode("latin-1"))
            raise UnusableError(f"damaged: the checksum of its chunk {name} is wrong")
        at = end + 4


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        values = np.asarray(image).astype(np.uint32)
        gray = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        if (clear := image.info.get("transparency")) is not None:
            gray.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        return gray
    if image.mode in ("I", "F"):
        raise UnusableError("32-bit pixels have no known range; save it with 8 or 16 bits")
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


@contextmanager
def quietly() -> Iterator[None]:
    """Silence Pillow's remarks on odd files, except that a decompression bomb stays an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` on every item, on all cores, in order: decoders let go of the interpreter lock."""
    # One future for each small image would cost more than the image.
    chunks = [items[start : start + 64] for start in range(0, len(items), 64)]
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda chunk: [work(item) for item in chunk], chunks)
        return [result for chunk in done for result in chunk]
