"""Charts over generations, as SVG in the page's colors and as files to download."""

from __future__ import annotations

import base64
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from PIL import Image

from imgcollapse.report.arrays import FloatArray, interval_of_mean, mean
from imgcollapse.report.formatting import percent, plain

INK, MUTED, FAINT, GREY, PAPER = "#1b1d21", "#6a7079", "#d9dce1", "#9aa0a8", "#fefefe"
ACCENT, SECOND = "#3b78b8", "#d97030"
# These follow the page's theme; class colors are of middle lightness and suit both themes.
VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--line", GREY: "--gray", PAPER: "--paper"}
# Blue to ochre, as far apart for readers without red or green cones as for all others (12 classes
# are 10 CIELAB units apart or more), and three times as light or dark as either theme's paper.
COMMON_TO_RARE = LinearSegmentedColormap.from_list(
    "common to rare", ["#1d60f8", "#3975d7", "#6d9ad2", "#9d7683", "#bf8362", "#c47c0e"]
)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "imgcollapse",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.solid_capstyle": "round",
}
SIZE, PANEL = (5.2, 3.6), (2.5, 1.8)  # inches of 72 CSS pixels


def palette(classes: int) -> list[str]:
    """K colors, common to rare, as #rrggbb."""
    return [to_hex(COMMON_TO_RARE(k / max(classes - 1, 1))) for k in range(classes)]


@contextmanager
def _axes(
    title: str, size: tuple[float, float], box: tuple[float, float, float, float], height: float
) -> Iterator[tuple[Canvas, Axes]]:
    """Axes in a box of a figure, all edges but `size` as shares of it; `height` is the title's."""
    large = size == SIZE
    style: dict[Any, Any] = {**STYLE, "font.size": 10 if large else 9}
    with mpl.rc_context(style), warnings.catch_warnings():
        # The browser, not matplotlib, draws the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Canvas(figsize=size)
        axes = figure.add_axes(box)
        figure.text(0.005, height, title, fontsize=11 if large else 10, fontweight="bold")
        ticks = MaxNLocator(8 if large else 4, integer=True, steps=[1, 2, 5, 10])
        axes.xaxis.set_major_locator(ticks)
        axes.margins(x=0.03)
        axes.tick_params(length=3 if large else 2)
        yield figure, axes


@contextmanager
def chart(title: str, labeled: bool = True) -> Iterator[tuple[Canvas, Axes]]:
    """Axes with a title, and space for the curves' names on the right where they are labeled."""
    box = (0.12, 0.15, 0.54 if labeled else 0.84, 0.72)
    with _axes(title, SIZE, box, 0.945) as (figure, axes):
        axes.set_xlabel("generation")
        yield figure, axes


def panel(title: str) -> AbstractContextManager[tuple[Canvas, Axes]]:
    """Axes of one among many small charts, which are read side by side."""
    return _axes(title, PANEL, (0.19, 0.14, 0.79, 0.71), 0.91)


def as_rows(
    figure: Canvas, axes: Axes, number: int, step: float, edges: Sequence[float], around: float
) -> None:
    """Make a chart one of `number` rows, each `step` inches high, without a vertical axis.

    `edges` are the figure's width, the heights below the rows and above the title's baseline, in
    inches, then the axes' left edge and width as shares; `around` is all height but the rows'.
    """
    width, below, above, left, across = edges
    height = around + step * number
    figure.set_size_inches(width, height)
    axes.set_position((left, below / height, across, step * number / height))
    figure.texts[0].set_position((0.005, 1 - above / height))
    axes.set_ylim(number - 0.4, -0.6)
    axes.set_yticks([])


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each curve's name at its right end, beside its color, moved apart where they would
    overlap. The words are in ink: colors that lines can have are too faint for small letters.
    """
    transform = axes.transData + axes.transAxes.inverted()
    placed = sorted((float(transform.transform((0, y))[1]), name, c) for y, name, c in ends)
    step, floor, heights = 0.062, -1.0, []
    for height, _, _ in placed:
        floor = max(height, floor + step)
        heights.append(floor)
    ceiling = 1.02 + step
    for i in reversed(range(len(heights))):
        ceiling = heights[i] = min(heights[i], ceiling - step)
    for (_, name, color), height in zip(placed, heights, strict=True):
        place = {"transform": axes.transAxes, "clip_on": False}
        axes.plot((1.02, 1.05), (height, height), color=color, linewidth=3, **place)
        style = {"color": INK, "fontsize": 9, "va": "center", "annotation_clip": False}
        axes.annotate(name, (1.065, height), xycoords="axes fraction", **style)


def caption(axes: Axes, text: str, y: float, offset: float = -4, **style: Any) -> None:
    """Write on the left of the vertical axis, as many points from it as `offset` says."""
    style = {"color": MUTED, "fontsize": 8, "annotation_clip": False} | style
    at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (0, y), xytext=(offset, 0), ha="right", va="center", **at, **style)


def share_ticks(axes: Axes, bottom: float) -> None:
    """Ticks in percent at the powers of ten above the bottom of a logarithmic axis of shares."""
    axes.yaxis.set_major_formatter(lambda share, _: percent(share))
    axes.minorticks_off()
    axes.set_yticks([tick for tick in (1e-4, 1e-3, 1e-2, 1e-1, 1) if tick >= bottom])


def lines(
    axes: Axes,
    values: FloatArray,
    low: FloatArray,
    high: FloatArray,
    color: str = ACCENT,
    style: str = "-",
) -> None:
    """float64[L, G] with intervals; of several lineages each thinly, and their mean."""
    if len(values) > 1:
        axes.plot(values.T, color=GREY if color == ACCENT else color, linewidth=0.5, alpha=0.5)
        low, high = interval_of_mean(values)
    else:
        low, high = low[0], high[0]
    band(axes, low, high, color, 0.2)
    axes.plot(mean(values), color=color, linewidth=1.8, marker="o", markersize=3, linestyle=style)


def band(
    axes: Axes, low: FloatArray, high: FloatArray, color: str = GREY, alpha: float = 0.3
) -> None:
    """Fill between two ends float64[G], where both are defined; a bar where there is one."""
    here = np.isfinite(low) & np.isfinite(high)
    x = np.arange(len(low))
    alone = here & ~np.roll(here, 1) & ~np.roll(here, -1) if len(x) > 1 else here
    axes.fill_between(x, low, high, where=here.tolist(), color=color, alpha=alpha, lw=0)
    if alone.any():
        axes.vlines(x[alone], low[alone], high[alone], color=color, alpha=alpha, linewidth=8)


def chance_band(axes: Axes, low: FloatArray, high: FloatArray) -> None:
    """The band of drift alone: gray, with a dashed outline that no interval has."""
    _outlined(axes, low, high, GREY, 0.22, (4, 2))


def floor_band(axes: Axes, low: FloatArray, high: FloatArray, color: str) -> None:
    """The band of real against real, with a dotted outline."""
    _outlined(axes, low, high, color, 0.15, (1, 1.6))


def _outlined(
    axes: Axes, low: FloatArray, high: FloatArray, color: str, alpha: float, dashes: Sequence[float]
) -> None:
    band(axes, low, high, color, alpha)
    for end in (low, high):
        axes.plot(end, color=color, linewidth=0.9, linestyle=(0, dashes))


def legend(axes: Axes, text: str) -> None:
    """A line of words between the title and the axes."""
    axes.annotate(text, (0, 1.005), xycoords="axes fraction", color=MUTED, fontsize=9, va="bottom")


def span(axes: Axes, last: int) -> None:
    """Let the axis hold all generations, undefined ones too."""
    margin = 0.03 * max(last, 1)
    axes.set_xlim(-margin, last + margin)


def to_svg(figure: Canvas, description: str) -> str:
    """A figure as SVG for the inside of a page; the theme's colors are CSS variables."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (matplotlib made it)
    for group in list(drawing.iter()):
        group[:] = [part for part in group if not part.tag.endswith(("}metadata", "}style"))]
    for part in drawing.iter():
        part.tag, part.tail = part.tag.partition("}")[2], None
        part.attrib = dict(_attributes(part))
    width, height = (f"{72 * inches:g}" for inches in figure.get_size_inches())
    size = {"viewBox": f"0 0 {width} {height}", "width": width, "height": height}
    drawing.attrib = size | {"role": "img", "aria-label": plain(description)}
    return ElementTree.tostring(drawing, encoding="unicode")


def _attributes(part: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Those of one element, its coordinates to a hundredth of a pixel."""
    for name, value in part.attrib.items():
        name = name.rpartition("}")[2]
        if name in ("d", "x", "y"):
            value = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split()))
        elif name == "style":
            for color, variable in VARIABLES.items():
                value = value.replace(color, f"var({variable}, {color})")
        if part.tag != "g" or name != "id":
            yield name, value


DENSITY = 2
"""Pixels of a PNG for each CSS pixel."""


@dataclass(frozen=True)
class Download:
    """A file inside a page: the link's text, the file's name, and its content as a data URI."""

    kind: str
    name: str
    href: str


@dataclass(frozen=True)
class Figure:
    """A chart or a grid of images, described by `alt`, with the numbers in it as a table.

    `svg` and `png` are files in light colors on white; letters that DejaVu Sans lacks are boxes in
    the latter. `inline` is SVG that follows the page's theme; empty where a table of images stands.
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
        inline, data, dots = to_svg(canvas, alt), BytesIO(), 72 * DENSITY
        canvas.savefig(data, format="rgba", dpi=dots, facecolor="white")
        width, height = (int(inches * dots) for inches in canvas.get_size_inches())
        png = to_png(Image.frombytes("RGBA", (width, height), data.getvalue()))
        return cls(name, alt, _of_its_own(inline), png, table, inline)

    @property
    def csv(self) -> str:
        """The numbers to six digits; undefined ones are empty."""
        return self.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")

    def files(self, of: str) -> list[Download]:
        """The figure as SVG and PNG and its numbers as CSV, in files named after the run `of`."""
        made = {
            "SVG": text_uri("image/svg+xml", self.svg),
            "PNG": data_uri("image/png", self.png),
            "CSV": text_uri("text/csv", self.csv),
        }
        stem = f"{file_name(of)}-{self.name}"
        return [Download(kind, f"{stem}.{kind.lower()}", uri) for kind, uri in made.items()]


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
    return {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}", **size}


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
    drawing = ElementTree.fromstring(inline)  # noqa: S314 (to_svg made it)
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
