"""One figure of a page: what it shows, in words, and the files that a reader can take away."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure as Canvas
from PIL import Image

from imgcollapse.report.chart import to_svg
from imgcollapse.report.formatting import plain

SVG = "http://www.w3.org/2000/svg"
DENSITY = 2
"""Pixels of a PNG for each CSS pixel."""


@dataclass(frozen=True)
class Download:
    """A file inside a page: what a link to it needs.

    Attributes:
        kind: what the link says.
        name: of the file.
        href: its content as a data URI, which no network and no script is needed for.
    """

    kind: str
    name: str
    href: str


@dataclass(frozen=True)
class Figure:
    """A chart or a grid of images.

    Attributes:
        name: of its files, without a suffix.
        alt: what it shows, in a sentence.
        svg: a file of its own, in light colors on white.
        png: the same in pixels. Letters that DejaVu Sans lacks are boxes in it.
        table: the numbers in it.
        inline: SVG that follows the page's theme; empty where the page has a table of images.
    """

    name: str
    alt: str
    svg: str
    png: bytes
    table: pd.DataFrame
    inline: str = ""

    @classmethod
    def drawn(cls, canvas: Canvas, name: str, alt: str, table: pd.DataFrame) -> Figure:
        """A matplotlib figure with its numbers."""
        inline = to_svg(canvas, alt)
        return cls(name, alt, _of_its_own(inline), _pixels(canvas), table, inline)

    @property
    def csv(self) -> str:
        """The numbers to six digits; undefined ones are empty."""
        return self.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")

    def files(self, of: str) -> list[Download]:
        """The figure as SVG and PNG, and its numbers as CSV.

        Args:
            of: the run, whose name opens that of each file.
        """
        stem = f"{file_name(of)}-{self.name}"
        return [
            Download("SVG", f"{stem}.svg", text_uri("image/svg+xml", self.svg)),
            Download("PNG", f"{stem}.png", data_uri("image/png", self.png)),
            Download("CSV", f"{stem}.csv", text_uri("text/csv", self.csv)),
        ]


def side_by_side(name: str, panels: Sequence[Figure], columns: int = 4) -> Figure:
    """Panels of one size as one figure to take away; on the page they stand by themselves."""
    alt = " ".join(panel.alt for panel in panels)
    pictures = [Image.open(BytesIO(panel.png)).convert("RGB") for panel in panels]
    width, height = pictures[0].size
    columns = min(columns, len(panels))
    size = columns * width, -(-len(panels) // columns) * height
    sheet, parts = Image.new("RGB", size, "white"), []
    for i, (panel, picture) in enumerate(zip(panels, pictures, strict=True)):
        x, y = i % columns * width, i // columns * height
        sheet.paste(picture, (x, y))
        place = f'<svg x="{x / DENSITY:g}" y="{y / DENSITY:g}"'
        parts.append(place + panel.svg.removeprefix("<svg"))
    across, down = (edge / DENSITY for edge in size)
    root = ElementTree.Element("svg", frame(across, down))
    ElementTree.SubElement(root, "title").text = plain(alt)
    whole = ElementTree.tostring(root, encoding="unicode")
    svg = whole.removesuffix("</svg>") + "".join(parts) + "</svg>"
    return Figure(name, alt, svg, to_png(sheet), pd.concat([p.table for p in panels]))


def frame(width: float, height: float) -> dict[str, str]:
    """Attributes of an SVG file's outermost element."""
    size = {"width": f"{width:g}", "height": f"{height:g}"}
    return {"xmlns": SVG, "viewBox": f"0 0 {width:g} {height:g}", **size}


def to_png(picture: Image.Image) -> bytes:
    """A picture in at most 256 colors, a third of the bytes of one in all."""
    data = BytesIO()
    few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(data, "PNG", optimize=True)
    return data.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """Bytes of a media type as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def text_uri(kind: str, text: str) -> str:
    """A text of a media type as a data URI."""
    return f"data:{kind};charset=utf-8,{quote(text, safe=' ,;()!*=')}"


def file_name(text: str) -> str:
    """Letters and digits of a text, as any file system takes them."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "run"


def _of_its_own(inline: str) -> str:
    """SVG of a page as a file: colors and a ground that need no style sheet."""
    drawing = ElementTree.fromstring(inline)  # noqa: S314 (chart.py made it)
    width, height, alt = (drawing.get(key, "") for key in ("width", "height", "aria-label"))
    drawing.attrib = frame(float(width), float(height))
    for part in drawing.iter():
        if style := part.get("style"):
            part.set("style", re.sub(r"var\([\w-]+, (#\w+)\)", r"\1", style))
    ground = ElementTree.Element("rect", {"width": width, "height": height, "fill": "#ffffff"})
    title = ElementTree.Element("title")
    title.text = alt
    drawing[:0] = [title, ground]
    return ElementTree.tostring(drawing, encoding="unicode")


def _pixels(canvas: Canvas) -> bytes:
    """A matplotlib figure as PNG."""
    data, dots = BytesIO(), 72 * DENSITY
    canvas.savefig(data, format="rgba", dpi=dots, facecolor="white")
    width, height = (int(inches * dots) for inches in canvas.get_size_inches())
    return to_png(Image.frombytes("RGBA", (width, height), data.getvalue()))
