"""A thousand odd and broken image files, each with what a reader must make of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SIDE = 16
LISTED = "listed"
"""It must be left out by name."""
ANY = "any"
"""Nothing in the file tells whether it is whole: it is read, or left out by name."""


@dataclass(frozen=True)
class Specimen:
    """An image file.

    Attributes:
        name: what it is called.
        data: its bytes.
        truth: uint8[H, W, 3] that it must be read as; `LISTED`, or `ANY`.
        within: levels by which each value may differ, of a format that loses some.
        or_listed: whether leaving it out by name will do as well.
    """

    name: str
    data: bytes
    truth: np.ndarray | str
    within: int = 0
    or_listed: bool = False


def file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def flat(draw: np.random.Generator) -> np.ndarray:
    """One colour, which JPEG keeps to a few levels."""
    return np.broadcast_to(draw.integers(0, 256, 3, dtype=np.uint8), (SIDE, SIDE, 3)).copy()


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


def swapped_profile() -> bytes:
    """sRGB with its red and blue primaries exchanged: an image in it has them exchanged too."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    head, table = data[:128], data[128:]
    for old, new in ((b"rXYZ", b"????"), (b"bXYZ", b"rXYZ"), (b"????", b"bXYZ")):
        table = table.replace(old, new, 1)
    return head + table


# Orientation in EXIF 2.32, 4.6.4: what undoes it, on an array whose axes are rows and columns.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
LOSSLESS = {
    "PNG": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "PPM": {},
    "WEBP": {"lossless": True, "quality": 0},
}
ENDINGS = {"PNG": "png", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm", "WEBP": "webp"}


def whole(draw: np.random.Generator, n: int) -> Iterator[Specimen]:
    """Files that are odd, and whole."""
    truth = noise(draw)
    picture = Image.fromarray(truth)
    for kind, options in LOSSLESS.items():
        yield Specimen(f"{n}.{ENDINGS[kind]}", file(picture, kind, **options), truth)
    data = file(picture, "PNG")
    wrong = str(draw.choice(["jpg", "gif", "bmp", "HEIC", "psd", "tiff"]))
    yield Specimen(f"misnamed-{n}.{wrong}", data, truth)
    yield Specimen(f"naïve \N{DOG FACE}\n{n}.png", data, truth)

    few = picture.quantize(int(draw.integers(2, 257)))
    yield Specimen(f"palette-{n}.png", file(few, "PNG"), np.asarray(few.convert("RGB")))
    yield Specimen(f"palette-{n}.gif", file(few, "GIF"), np.asarray(few.convert("RGB")))

    colour = flat(draw)
    solid = Image.fromarray(colour)
    jpeg = file(solid, "JPEG", quality=100, progressive=bool(n % 2), subsampling=0)
    yield Specimen(f"progressive-{n}.jpg", jpeg, colour, within=2)
    inks = file(solid.convert("CMYK"), "JPEG", quality=100)
    yield Specimen(f"inks-{n}.jpg", inks, colour, within=4)
    yield Specimen(f"inks-{n}.tif", file(solid.convert("CMYK"), "TIFF"), colour)

    deep = draw.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    eight = gray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
    yield Specimen(f"deep-{n}.png", file(Image.fromarray(deep), "PNG"), eight)
    yield Specimen(f"deep-{n}.tif", file(Image.fromarray(deep), "TIFF"), eight)

    level = draw.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    yield Specimen(f"gray-{n}.png", file(Image.fromarray(level), "PNG"), gray(level))
    bits = draw.integers(0, 2, (SIDE, SIDE), dtype=np.uint8) * 255
    for kind, ending in (("PNG", "png"), ("TIFF", "tif"), ("PPM", "pbm"), ("BMP", "bmp")):
        data = file(Image.fromarray(bits).convert("1"), kind)
        yield Specimen(f"bits-{n}.{ending}", data, gray(bits))

    alpha = draw.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    share = alpha[..., None] / 255
    seen = picture.copy()
    seen.putalpha(Image.fromarray(alpha))
    over = np.round(truth * share + 255 * (1 - share)).astype(np.uint8)
    yield Specimen(f"alpha-{n}.png", file(seen, "PNG"), over, within=1)
    yield Specimen(f"alpha-{n}.webp", file(seen, "WEBP", lossless=True, exact=True), over, within=1)
    half = Image.merge("LA", (Image.fromarray(level), Image.fromarray(alpha)))
    on_white = np.round(level * share[..., 0] + 255 * (1 - share[..., 0])).astype(np.uint8)
    yield Specimen(f"alpha-{n}-gray.png", file(half, "PNG"), gray(on_white), within=1)

    frames = [picture, *(Image.fromarray(noise(draw)) for _ in range(2))]
    more = {"save_all": True, "append_images": frames[1:]}
    yield Specimen(f"moving-{n}.png", file(picture, "PNG", **more), truth)
    yield Specimen(f"moving-{n}.webp", file(picture, "WEBP", lossless=True, **more), truth)
    solids = [Image.fromarray(flat(draw)) for _ in range(2)]
    moving = file(solid, "GIF", save_all=True, append_images=solids)
    yield Specimen(f"moving-{n}.gif", moving, colour)
    yield Specimen(f"pages-{n}.tif", file(picture, "TIFF", **more), truth)

    for orientation, undo in UPRIGHT.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        kind = ("PNG", "WEBP")[(n + orientation) % 2]
        data = file(picture, kind, exif=exif.tobytes(), **LOSSLESS[kind])
        yield Specimen(f"turned-{orientation}-{n}.{ENDINGS[kind]}", data, undo(truth))

    profile = swapped_profile()
    exchanged = truth[..., ::-1]
    # Two roundings to eight bits, through the curve of sRGB.
    for kind in ("PNG", "TIFF", "WEBP"):
        data = file(picture, kind, icc_profile=profile, **LOSSLESS[kind])
        yield Specimen(f"profile-{n}.{ENDINGS[kind]}", data, exchanged, within=2)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Specimen(f"srgb-{n}.png", file(picture, "PNG", icc_profile=srgb), truth)
    broken = profile[: int(draw.integers(0, 140))] + bytes(draw.integers(0, 256, 40))
    yield Specimen(f"no-profile-{n}.png", file(picture, "PNG", icc_profile=broken), truth)
    of_inks = file(Image.fromarray(level), "PNG", icc_profile=profile)
    yield Specimen(f"other-profile-{n}.png", of_inks, gray(level))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, lines: int) -> bytes:
    """A PNG that says it is as large, and packs so many empty lines of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes((width + 1) * lines), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def bombs() -> Iterator[Specimen]:
    """Small files that say they are large images."""
    sides = (9_000, 20_000, 65_535, 2**31 - 1)
    for side in sides:
        yield Specimen(f"bomb-{side}.png", png_of(side, side, 2**20 // side), LISTED)
        yield Specimen(f"bomb-{side}.ppm", f"P6 {side} {side} 255\n".encode(), LISTED)
        small = bytearray(file(Image.new("RGB", (1, 1)), "BMP"))
        small[18:26] = struct.pack("<ii", side, side)
        yield Specimen(f"bomb-{side}.bmp", bytes(small), LISTED)
        tiff = bytearray(file(Image.new("L", (77, 33)), "TIFF"))
        for tag, value in ((256, 77), (257, 33)):
            old = struct.pack("<HHII", tag, 4, 1, value)
            if old not in tiff:  # as a short
                old = struct.pack("<HHI", tag, 3, 1) + struct.pack("<I", value)
            at = tiff.index(old)
            tiff[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
        yield Specimen(f"bomb-{side}.tif", bytes(tiff), LISTED)
        wide = min(side, 65_535)
        gif = bytearray(file(Image.new("L", (1, 1)), "GIF"))
        gif[6:10] = struct.pack("<HH", wide, wide)
        at = gif.index(b"\x2c")
        gif[at + 5 : at + 9] = struct.pack("<HH", wide, wide)
        yield Specimen(f"bomb-{side}.gif", bytes(gif), LISTED)


NO_IMAGES = {
    "empty.png": b"",
    "text.png": b"this is no image",
    "page.jpg": b"<html><script>alert(1)</script></html>",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "script.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "photo.heic": b"\0\0\0\x18ftypheic",
    "layers.psd": b"8BPS\0\1",
    "icon.ico": b"\0\0\1\0\1\0",
    "packed.png": b"PK\3\4",
    "pickle.jpg": b"\x80\x04\x95",
    "document.gif": b"%PDF-1.7",
    "header.png": b"\x89PNG\r\n\x1a\n",
    "header.gif": b"GIF89a",
    "header.jpg": b"\xff\xd8\xff\xe0",
    "header.webp": b"RIFF\x10\0\0\0WEBPVP8L",
    "header.bmp": b"BM",
    "header.tif": b"II*\0\x08\0\0\0",
    "header.ppm": b"P6 ",
}


def broken(draw: np.random.Generator, n: int) -> Iterator[Specimen]:
    """Files that were whole before they were cut, or a bit of them was turned."""
    truth = noise(draw)
    picture = Image.fromarray(truth)
    few = picture.quantize(64)
    made = {
        "png": (file(picture, "PNG"), truth, 0),
        "bmp": (file(picture, "BMP"), truth, 0),
        "tif": (file(picture, "TIFF"), truth, 0),
        "ppm": (file(picture, "PPM"), truth, 0),
        "webp": (file(picture, "WEBP", lossless=True), truth, 0),
        "gif": (file(few, "GIF"), np.asarray(few.convert("RGB")), 0),
    }
    for ending, (data, pixels, within) in made.items():
        at = int(draw.integers(1, len(data)))
        # What only its last bytes are missing of may still be all there.
        yield Specimen(f"cut-{n}.{ending}", data[:at], pixels, within, or_listed=True)
    colour = flat(draw)
    jpeg = file(Image.fromarray(colour), "JPEG", quality=100, progressive=bool(n % 2))
    at = int(draw.integers(1, len(jpeg)))
    yield Specimen(f"cut-{n}.jpg", jpeg[:at], colour, 2, or_listed=True)
    for ending, data in {**{e: d for e, (d, _, _) in made.items()}, "jpg": jpeg}.items():
        bit = int(draw.integers(8 * len(data)))
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        # Of these formats only PNG has checksums.
        told = LISTED if ending == "png" else ANY
        yield Specimen(f"turned-bit-{n}.{ending}", bytes(turned), told)


def thousand(seed: int = 0, number: int = 1000) -> list[Specimen]:
    """All kinds, in turn, until there are enough."""
    draw = np.random.default_rng(seed)
    found = [*bombs(), *(Specimen(name, data, LISTED) for name, data in NO_IMAGES.items())]
    n = 0
    while len(found) < number:
        found += [*whole(draw, n), *broken(draw, n)]
        n += 1
    return found[:number]
