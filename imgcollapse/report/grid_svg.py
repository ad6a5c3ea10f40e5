"""A table of images as an SVG file: names at the left, generations on top."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any

from imgcollapse.report.figure import frame
from imgcollapse.report.formatting import plain
from imgcollapse.report.grid_png import EMPTY, INK, LINE, MUTED, text_width

GAP, EDGE, HEAD, LINE_HEIGHT = 6, 12, 24, 14
FONT = "system-ui, sans-serif"


def vector(
    alt: str,
    headers: Sequence[str],
    rows: Sequence[tuple[str, str]],
    cells: Sequence[Sequence[Mapping[str, Any]]],
) -> str:
    """Lay out cells as they stand on the page.

    Args:
        alt: what it shows.
        headers: a column each.
        rows: a name and a smaller line below it each.
        cells: for each row and column an image, or None, and the words below it or in its place.
    """
    images = [cell["image"] for row in cells for cell in row if cell["image"]]
    width = max((image["width"] for image in images), default=48)
    height = max((image["height"] for image in images), default=48)
    # The font of row names is 13 pixels, three quarters of that which the width is measured in.
    left = EDGE + 0.8 * max(text_width(text) for row in rows for text in row) + GAP
    across = left + len(headers) * (width + GAP) + EDGE
    down = EDGE + HEAD + len(rows) * (height + LINE_HEIGHT + GAP) + EDGE
    root = ElementTree.Element("svg", frame(across, down) | {"font-family": FONT})
    ElementTree.SubElement(root, "title").text = plain(alt)
    ElementTree.SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    for j, header in enumerate(headers):
        x = left + j * (width + GAP) + width / 2
        _text(root, header, x, EDGE + 14, 13, INK, "middle")
    for i, ((name, detail), row) in enumerate(zip(rows, cells, strict=True)):
        y = EDGE + HEAD + i * (height + LINE_HEIGHT + GAP)
        _text(root, name, left - GAP, y + height / 2 - 1, 13, INK, "end")
        _text(root, detail, left - GAP, y + height / 2 + 14, 11, MUTED, "end")
        for j, cell in enumerate(row):
            x = left + j * (width + GAP)
            if image := cell["image"]:
                _image(root, image, x, y)
                _text(root, cell["words"], x, y + image["height"] + 11, 10, MUTED, "start")
            elif cell["words"]:
                box = _sizes(x, y, width, height)
                ElementTree.SubElement(root, "rect", box, fill=EMPTY, stroke=LINE)
                _text(root, cell["words"], x + width / 2, y + height / 2 + 4, 11, INK, "middle")
    return ElementTree.tostring(root, encoding="unicode")


def _image(root: ElementTree.Element, image: Mapping[str, Any], x: float, y: float) -> None:
    box = _sizes(x, y, image["width"], image["height"]) | {"href": image["src"]}
    if image["sharp"]:
        box["style"] = "image-rendering: pixelated"
    placed = ElementTree.SubElement(root, "image", box)
    ElementTree.SubElement(placed, "title").text = plain(image["alt"])


def _sizes(x: float, y: float, width: float, height: float) -> dict[str, str]:
    edges = {"x": x, "y": y, "width": width, "height": height}
    return {name: f"{edge:g}" for name, edge in edges.items()}


def _text(
    root: ElementTree.Element, text: str, x: float, y: float, size: int, colour: str, anchor: str
) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "font-size": str(size), "fill": colour}
    ElementTree.SubElement(root, "text", place | {"text-anchor": anchor}).text = text
