"""Painters of an image grid: its images for the HTML page, an SVG file and a PNG file."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import resize, to_pil_image
from torchvision.utils import make_grid

from imgcollapse.report.charts import data_uri, frame, to_png
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
    """An image of a page or an SVG file: data URI, size in CSS pixels, and alternative text.

    The pixels of a `sharp` one are shown as squares.
    """

    src: str
    width: int
    height: int
    alt: str
    sharp: bool


def picture(
    pixels: Tensor, across: int, down: int, side: int, alt: str, light: bool = False
) -> Picture:
    """At most across x down images uint8[m, C, H, W] as one picture.

    Small images are enlarged in whole steps and stay sharp; large ones keep twice the pixels
    they are shown with, for fine screens.

    Args:
        pixels: the images.
        across: images side by side.
        down: rows of images.
        side: CSS pixels that an image takes at most.
        alt: alternative text.
        light: fewer colors or pixels, in a format that every drawing program reads, for a file.
    """
    _, channels, height, width = pixels.shape
    longest, most = max(height, width), side if light else 2 * side
    tiles = tile(pixels, across, down, most)
    zoom = side // longest or side / min(longest, most)
    size = round(tiles.width * zoom), round(tiles.height * zoom)
    src = _encode(tiles, channels * height * width <= LOSSLESS, light)
    return Picture(src, *size, alt, sharp=longest <= side)


def to_pictures(grid: ImageGrid, light: bool = False) -> list[list[Picture | None]]:
    """The images of each cell by row and column; None for a cell without images."""

    def of(cell: Cell) -> Picture | None:
        if not len(cell.pixels):
            return None
        return picture(cell.pixels, grid.across, grid.down, grid.side, cell.description, light)

    return [[of(cell) for cell in row.cells] for row in grid.rows]


def _measured(
    grid: ImageGrid, drawn: Sequence[Sequence[Picture | Image.Image | None]], side: int
) -> tuple[int, int, list[tuple[str, str]], int]:
    """Width and height of cells, the rows' names with details, and the pixels that these take."""
    made = [found for row in drawn for found in row if found]
    width = max((found.width for found in made), default=side)
    height = max((found.height for found in made), default=side)
    names = [(short(row.name) if row.name else "", row.detail) for row in grid.rows]
    return width, height, names, max(text_width(text) for name in names for text in name)


def to_svg_file(grid: ImageGrid, alt: str) -> str:
    """A grid as an SVG file: names on the left, headers on top, notes below the images."""
    pictures = to_pictures(grid, light=True)
    width, height, names, beside = _measured(grid, pictures, 48)
    # The font of row names is 13 pixels, three quarters of that which the width is measured in.
    left = SVG_EDGE + 0.8 * beside + SVG_GAP
    across = left + len(grid.headers) * (width + SVG_GAP) + SVG_EDGE
    down = 2 * SVG_EDGE + SVG_HEAD + len(grid.rows) * (height + SVG_LINE + SVG_GAP)
    letters = {"font-family": "system-ui, sans-serif"}
    root = ElementTree.Element("svg", frame(across, down) | letters)
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
    drawn = [[draw(cell, grid.across, side) for cell in row.cells] for row in grid.rows]
    width, height, names, beside = _measured(grid, drawn, side)
    left = EDGE + beside + 2 * GAP
    top = EDGE + (34 if any(grid.headers) else 0)
    gaps = any(not cell.count and cell.expected for row in grid.rows for cell in row.cells)
    below = 40 if gaps or grid.note else 0
    across = left + len(grid.headers) * (width + GAP) - GAP + EDGE
    size = across, top + len(grid.rows) * (height + GAP) - GAP + below + EDGE
    whole = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(whole)
    for i, (name, detail) in enumerate(names):
        middle = top + i * (height + GAP) + height // 2
        pen.text((left - 2 * GAP, middle - 1), name, INK, font(17, bold=True), anchor="rs")
        pen.text((left - 2 * GAP, middle + 4), detail, MUTED, font(14), anchor="rt")
    if any(grid.headers):
        pen.text((left - 2 * GAP, top - 14), "generation", MUTED, font(14), anchor="rs")
    for j, text in enumerate(grid.headers):
        x = left + j * (width + GAP)
        pen.text((x + width / 2, top - 14), text, INK, font(17), anchor="ms")
        for i, (row, pictures) in enumerate(zip(grid.rows, drawn, strict=True)):
            box = empty_cell((width, height), hatched=row.expected)
            paste(whole, pictures[j] or box, (x, top + i * (height + GAP)))
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
    """At most across x down images uint8[m, C, H, W] on a transparent ground, 1 pixel apart.

    Of more than three channels three are shown; images are not enlarged, and larger ones are
    reduced to `side`.
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


def _encode(tiles: Image.Image, lossless: bool, light: bool) -> str:
    """PNG without loss, else WebP; a light one has a white ground, and is JPEG in place of WebP."""
    data = BytesIO()
    if light:
        ground = Image.new("RGBA", tiles.size, "white")
        tiles = Image.alpha_composite(ground, tiles).convert("RGB")
        if lossless:
            return data_uri("image/png", to_png(tiles))
    kind = "png" if lossless else "jpeg" if light else "webp"
    options: dict[str, Any] = {"optimize": True} if lossless else {"quality": 85}
    tiles.save(data, kind, **options)
    return data_uri(f"image/{kind}", data.getvalue())


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
