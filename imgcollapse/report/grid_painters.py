"""Painters of an image grid: its images for the HTML page, an SVG file and a PNG file."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import resize, to_pil_image
from torchvision.utils import make_grid

from imgcollapse.report.chart import data_uri, frame, to_png
from imgcollapse.report.formatting import plain, short
from imgcollapse.report.grid_layout import Cell, ImageGrid

INK, MUTED, LINE, EMPTY, BAR = "#1a1c1f", "#6b7078", "#c9cdd3", "#f4f5f7", "#3b78b8"
GAP, EDGE, SIDE = 10, 24, 64
"""Pixels of a PNG between cells, around the picture, and about how long an image's side is."""
SVG_GAP, SVG_EDGE, SVG_HEAD, SVG_LINE = 6, 12, 24, 14
"""CSS pixels of an SVG between cells, around it, of a header and of a line of text."""
LOSSLESS = 800
"""Bytes of an image above which many of them, kept without loss, are too heavy for a page."""


@dataclass(frozen=True)
class Picture:
    """An image inside a page or an SVG file.

    Attributes:
        src: data URI.
        width: CSS pixels.
        height: CSS pixels.
        alt: alternative text.
        sharp: whether pixels are shown as squares.
    """

    src: str
    width: int
    height: int
    alt: str
    sharp: bool


def picture(
    pixels: Tensor, across: int, down: int, side: int, alt: str, light: bool = False
) -> Picture:
    """At most across x down images as one picture.

    Small images are enlarged in whole steps and stay sharp; large ones keep twice the pixels
    they are shown with, for fine screens.

    Args:
        pixels: uint8[m, C, H, W].
        across: images side by side.
        down: rows of images.
        side: CSS pixels that an image takes at most.
        alt: alternative text.
        light: fewer colors or pixels, in a format that every drawing program reads, for a file.
    """
    _, channels, height, width = pixels.shape
    most = side if light else 2 * side
    tiles = tile(pixels, across, down, most)
    longest = max(height, width)
    zoom = side // longest or side / min(longest, most)
    encode = _encode_light if light else _encode_full
    return Picture(
        src=encode(tiles, channels * height * width <= LOSSLESS),
        width=round(tiles.width * zoom),
        height=round(tiles.height * zoom),
        alt=alt,
        sharp=longest <= side,
    )


def to_pictures(grid: ImageGrid, light: bool = False) -> list[list[Picture | None]]:
    """The images of each cell by row and column; None for a cell without images."""
    return [
        [
            picture(cell.pixels, grid.across, grid.down, grid.side, cell.description, light)
            if len(cell.pixels)
            else None
            for cell in row.cells
        ]
        for row in grid.rows
    ]


def to_svg_file(grid: ImageGrid, alt: str) -> str:
    """A grid as an SVG file: names on the left, headers on top, notes below the images."""
    pictures = to_pictures(grid, light=True)
    made = [found for row in pictures for found in row if found]
    width = max((found.width for found in made), default=48)
    height = max((found.height for found in made), default=48)
    names = [(short(row.name) if row.name else "", row.detail) for row in grid.rows]
    # The font of row names is 13 pixels, three quarters of that which the width is measured in.
    left = SVG_EDGE + 0.8 * max(text_width(text) for name in names for text in name) + SVG_GAP
    across = left + len(grid.headers) * (width + SVG_GAP) + SVG_EDGE
    down = 2 * SVG_EDGE + SVG_HEAD + len(grid.rows) * (height + SVG_LINE + SVG_GAP)
    root = ElementTree.Element(
        "svg", frame(across, down) | {"font-family": "system-ui, sans-serif"}
    )
    ElementTree.SubElement(root, "title").text = plain(alt)
    ElementTree.SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    for j, text in enumerate(grid.headers):
        x = left + j * (width + SVG_GAP) + width / 2
        _svg_text(root, text, x, SVG_EDGE + 14, 13, INK, "middle")
    for i, (name, detail) in enumerate(names):
        y = SVG_EDGE + SVG_HEAD + i * (height + SVG_LINE + SVG_GAP)
        _svg_text(root, name, left - SVG_GAP, y + height / 2 - 1, 13, INK, "end")
        _svg_text(root, detail, left - SVG_GAP, y + height / 2 + 14, 11, MUTED, "end")
        for j, (cell, found) in enumerate(zip(grid.rows[i].cells, pictures[i], strict=True)):
            x = left + j * (width + SVG_GAP)
            if found:
                _svg_image(root, found, x, y)
                _svg_text(root, cell.note, x, y + found.height + 11, 10, MUTED, "start")
                continue
            if cell.expected:
                box = _svg_sizes(x, y, width, height)
                ElementTree.SubElement(root, "rect", box, fill=EMPTY, stroke=LINE)
            _svg_text(root, cell.note, x + width / 2, y + height / 2 + 4, 11, INK, "middle")
    return ElementTree.tostring(root, encoding="unicode")


def to_image(grid: ImageGrid, side: int = SIDE) -> Image.Image:
    """A grid as one image, without the notes; the side of a sample is about `side` pixels."""
    columns = range(len(grid.headers))
    drawn = [[draw(row.cells[j], grid.across, side) for row in grid.rows] for j in columns]
    made = [found for pictures in drawn for found in pictures if found]
    width = max((found.width for found in made), default=side)
    height = max((found.height for found in made), default=side)
    names = [(short(row.name) if row.name else "", row.detail) for row in grid.rows]
    left = EDGE + max(text_width(text) for name in names for text in name) + 2 * GAP
    top = EDGE + (34 if any(grid.headers) else 0)
    gaps = any(not cell.count and cell.expected for row in grid.rows for cell in row.cells)
    below = 40 if gaps or grid.note else 0
    size = (
        left + len(columns) * (width + GAP) - GAP + EDGE,
        top + len(grid.rows) * (height + GAP) - GAP + below + EDGE,
    )
    whole = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(whole)
    for i, (name, detail) in enumerate(names):
        middle = top + i * (height + GAP) + height // 2
        pen.text((left - 2 * GAP, middle - 1), name, INK, font(17, bold=True), anchor="rs")
        pen.text((left - 2 * GAP, middle + 4), detail, MUTED, font(14), anchor="rt")
    if any(grid.headers):
        pen.text((left - 2 * GAP, top - 14), "generation", MUTED, font(14), anchor="rs")
    for j, (text, pictures) in enumerate(zip(grid.headers, drawn, strict=True)):
        x = left + j * (width + GAP)
        pen.text((x + width / 2, top - 14), text, INK, font(17), anchor="ms")
        for i, found in enumerate(pictures):
            box = empty_cell((width, height), hatched=grid.rows[i].expected)
            paste(whole, found or box, (x, top + i * (height + GAP)))
    x, y = left, size[1] - EDGE
    if gaps:
        paste(whole, empty_cell((28, 16), hatched=True), (x, y - 14))
        pen.text((x + 28 + GAP, y), "none seen", MUTED, font(14), anchor="ls")
        x += 150
    if grid.note:
        pen.text((x, y), f"Shown: {grid.note}", MUTED, font(14), anchor="ls")
    return whole


def draw(cell: Cell, across: int, side: int = SIDE) -> Image.Image | None:
    """The images of a cell side by side, enlarged in whole steps or reduced; None for no image."""
    if not len(cell.pixels):
        return None
    down = -(-len(cell.pixels) // across)
    tiles = tile(cell.pixels, across, down, side)
    zoom = max(1, round(side / max(cell.pixels.shape[-2:])))
    return tiles.resize((tiles.width * zoom, tiles.height * zoom), Image.Resampling.NEAREST)


def tile(pixels: Tensor, across: int, down: int, side: int) -> Image.Image:
    """Images uint8[m, C, H, W] on a transparent ground, 1 pixel apart, not enlarged.

    Args:
        pixels: at most across x down images of 1, 3 or more channels, of which 3 are shown.
        across: images side by side; places without an image stay transparent.
        down: how many rows.
        side: images larger than this are reduced to it.
    """
    height, width = pixels.shape[-2:]
    rgb = pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels[:, :3]
    if (longest := max(height, width)) > side:
        size = [max(1, round(edge * side / longest)) for edge in (height, width)]
        rgb = resize(rgb, size, antialias=True)
    rgba = torch.zeros(across * down, 4, *rgb.shape[-2:], dtype=torch.uint8)
    rgba[: len(rgb), :3], rgba[: len(rgb), 3] = rgb, 255
    if len(rgba) == 1:  # make_grid frames only several
        return to_pil_image(rgba[0])
    return to_pil_image(make_grid(rgba, nrow=across, padding=1)[:, 1:-1, 1:-1])


def empty_cell(size: tuple[int, int], hatched: bool) -> Image.Image:
    """Background of a cell without images, hatched where that is a loss."""
    width, height = size
    empty = Image.new("RGBA", size, EMPTY)
    if hatched:
        pen = ImageDraw.Draw(empty)
        for x in range(-height, width, 9):
            pen.line((x, height, x + height, 0), LINE)
        pen.rectangle((0, 0, width - 1, height - 1), outline=LINE)
    return empty


def paste(whole: Image.Image, part: Image.Image, at: tuple[int, int]) -> None:
    """Lay an RGBA picture on another."""
    whole.paste(part, at, part)


def text_width(text: str) -> int:
    """Pixels that a row's name takes."""
    return int(font(17, bold=True).getlength(text)) + 1


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def _encode_full(tiles: Image.Image, lossless: bool) -> str:
    data = BytesIO()
    if lossless:
        tiles.save(data, "PNG", optimize=True)
        return data_uri("image/png", data.getvalue())
    tiles.save(data, "WEBP", quality=85)
    return data_uri("image/webp", data.getvalue())


def _encode_light(tiles: Image.Image, lossless: bool) -> str:
    ground = Image.new("RGBA", tiles.size, "white")
    flat = Image.alpha_composite(ground, tiles).convert("RGB")
    if lossless:
        return data_uri("image/png", to_png(flat))
    data = BytesIO()
    flat.save(data, "JPEG", quality=85)
    return data_uri("image/jpeg", data.getvalue())


def _svg_image(root: ElementTree.Element, found: Picture, x: float, y: float) -> None:
    box = _svg_sizes(x, y, found.width, found.height) | {"href": found.src}
    if found.sharp:
        box["style"] = "image-rendering: pixelated"
    placed = ElementTree.SubElement(root, "image", box)
    ElementTree.SubElement(placed, "title").text = plain(found.alt)


def _svg_sizes(x: float, y: float, width: float, height: float) -> dict[str, str]:
    edges = {"x": x, "y": y, "width": width, "height": height}
    return {name: f"{edge:g}" for name, edge in edges.items()}


def _svg_text(
    root: ElementTree.Element, text: str, x: float, y: float, size: int, color: str, anchor: str
) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "font-size": str(size), "fill": color}
    ElementTree.SubElement(root, "text", place | {"text-anchor": anchor}).text = text
