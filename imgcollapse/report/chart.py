"""Small charts over generations, as SVG that takes its colors from the page."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imgcollapse.report.census_arrays import FloatArray
from imgcollapse.report.formatting import plain
from imgcollapse.report.tables import interval_of_mean, mean

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
def chart(title: str, labeled: bool = True) -> Iterator[tuple[Figure, Axes]]:
    """Axes with a title, and space for the curves' names on the right where they are labeled."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The browser, not matplotlib, draws the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0.12, 0.15, 0.54 if labeled else 0.84, 0.72))
        figure.text(0.005, 0.945, title, fontsize=11, fontweight="bold")
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        axes.tick_params(length=3)
        yield figure, axes


@contextmanager
def panel(title: str) -> Iterator[tuple[Figure, Axes]]:
    """Axes of one among many small charts, which are read side by side."""
    style: dict[Any, Any] = {**STYLE, "font.size": 9}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=PANEL)
        axes = figure.add_axes((0.19, 0.14, 0.79, 0.71))
        figure.text(0.005, 0.91, title, fontsize=10, fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        axes.tick_params(length=2)
        yield figure, axes


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
        axes.annotate(
            name,
            (1.065, height),
            xycoords="axes fraction",
            color=INK,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )


def caption(axes: Axes, text: str, y: float) -> None:
    """Write beside the vertical axis, among its ticks."""
    axes.annotate(
        text,
        (0, y),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 0),
        textcoords="offset points",
        color=MUTED,
        fontsize=8,
        ha="right",
        va="center",
        linespacing=0.95,
    )


def lines(
    axes: Axes,
    values: FloatArray,
    low: FloatArray,
    high: FloatArray,
    color: str = ACCENT,
    style: str = "-",
) -> None:
    """float64[L, G] with intervals: one lineage as it is, of several the mean and each thinly.

    The interval of several is that of their mean.
    """
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
    """The band of chance alone: gray, with a dashed outline that no interval has."""
    band(axes, low, high, alpha=0.22)
    for end in (low, high):
        axes.plot(end, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))


def floor_band(axes: Axes, low: FloatArray, high: FloatArray, color: str) -> None:
    """The band of real against real, with a dotted outline."""
    band(axes, low, high, color, 0.15)
    for end in (low, high):
        axes.plot(end, color=color, linewidth=0.9, linestyle=(0, (1, 1.6)))


def legend(axes: Axes, text: str) -> None:
    """A line of words between the title and the axes."""
    axes.annotate(text, (0, 1.005), xycoords="axes fraction", color=MUTED, fontsize=9, va="bottom")


def span(axes: Axes, last: int) -> None:
    """Let the axis hold all generations, undefined ones too."""
    margin = 0.03 * max(last, 1)
    axes.set_xlim(-margin, last + margin)


def to_svg(figure: Figure, description: str) -> str:
    """A figure as SVG for the inside of a page: theme colors are CSS variables, no ids but those
    it refers to, and none of the namespaces that a file of its own would need.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (matplotlib made it)
    for group in list(drawing.iter()):
        group[:] = [part for part in group if not part.tag.endswith(("}metadata", "}style"))]
    for part in drawing.iter():
        part.tag, part.tail = part.tag.partition("}")[2], None
        part.attrib = dict(_attributes(part))
    width, height = (f"{72 * inches:g}" for inches in figure.get_size_inches())
    drawing.attrib = {
        "viewBox": f"0 0 {width} {height}",
        "width": width,
        "height": height,
        "role": "img",
        "aria-label": plain(description),
    }
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
