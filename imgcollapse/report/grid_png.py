"""Cells in rows and columns as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.report.grid_layout import Cell, tile

INK, MUTED, LINE, EMPTY, BAR = "#1a1c1f", "#6b7078", "#c9cdd3", "#f4f5f7", "#3b78b8"
GAP, EDGE, SIDE = 10, 24, 64
"""Pixels between cells, around the picture, and about how long an image's side is drawn."""


def sheet(
    rows: Sequence[tuple[str, str]],
    headers: Sequence[str],
    columns: Sequence[Sequence[Cell]],
    per_row: int,
    note: str,
    side: int = SIDE,
) -> Image.Image:
    """Cells with row names on the left and headers on top; an image's side is about `side`."""
    drawn = [[draw(cell, per_row, side) for cell in cells] for cells in columns]
    made = [picture for pictures in drawn for picture in pictures if picture]
    width = max((p.width for p in made), default=side)
    height = max((p.height for p in made), default=side)
    left = EDGE + max(text_width(text) for row in rows for text in row) + 2 * GAP
    top = EDGE + (34 if any(headers) else 0)
    gaps = any(
        picture is None and name != UNRECOGNIZED
        for pictures in drawn
        for picture, (name, _) in zip(pictures, rows, strict=True)
    )
    below = 40 if gaps or note else 0
    size = (
        left + len(columns) * (width + GAP) - GAP + EDGE,
        top + len(rows) * (height + GAP) - GAP + below + EDGE,
    )
    whole = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(whole)
    for i, (name, detail) in enumerate(rows):
        middle = top + i * (height + GAP) + height // 2
        pen.text((left - 2 * GAP, middle - 1), name, INK, font(17, bold=True), anchor="rs")
        pen.text((left - 2 * GAP, middle + 4), detail, MUTED, font(14), anchor="rt")
    if any(headers):
        pen.text((left - 2 * GAP, top - 14), "generation", MUTED, font(14), anchor="rs")
    for j, (header, pictures) in enumerate(zip(headers, drawn, strict=True)):
        x = left + j * (width + GAP)
        pen.text((x + width / 2, top - 14), header, INK, font(17), anchor="ms")
        for i, picture in enumerate(pictures):
            box = gap((width, height), hatched=rows[i][0] != UNRECOGNIZED)
            paste(whole, picture or box, (x, top + i * (height + GAP)))
    x, y = left, size[1] - EDGE
    if gaps:
        paste(whole, gap((28, 16), hatched=True), (x, y - 14))
        pen.text((x + 28 + GAP, y), "none seen", MUTED, font(14), anchor="ls")
        x += 150
    if note:
        pen.text((x, y), f"Shown: {note}", MUTED, font(14), anchor="ls")
    return whole


def draw(cell: Cell, per_row: int, side: int = SIDE) -> Image.Image | None:
    """The images of a cell side by side, enlarged in whole steps or reduced; None for no image."""
    if not cell.count:
        return None
    rows = -(-len(cell.pixels) // per_row)
    picture = tile(cell.pixels, per_row, rows, side)
    zoom = max(1, round(side / max(cell.pixels.shape[-2:])))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def gap(size: tuple[int, int], hatched: bool) -> Image.Image:
    """What stands where there is nothing to see."""
    width, height = size
    empty = Image.new("RGBA", size, EMPTY)
    if hatched:
        pen = ImageDraw.Draw(empty)
        for x in range(-height, width, 9):
            pen.line((x, height, x + height, 0), LINE)
        pen.rectangle((0, 0, width - 1, height - 1), outline=LINE)
    return empty


def paste(whole: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Lay an RGBA picture on another."""
    whole.paste(picture, at, picture)


def text_width(text: str) -> int:
    """Pixels that a row's name takes."""
    return int(font(17, bold=True).getlength(text)) + 1


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)
