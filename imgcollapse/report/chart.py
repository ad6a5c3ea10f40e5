"""Small charts over generations, as SVG that takes its colours from the page."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, FAINT, GREY, PAPER = "#1b1d21", "#6a7079", "#d9dce1", "#9aa0a8", "#fefefe"
# These follow the page's theme; class colours are of middle lightness and suit both themes.
VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--line", GREY: "--grey", PAPER: "--paper"}
# Blue to orange, the axis on which every common colour blindness still tells colours apart.
COMMON_TO_RARE = LinearSegmentedColormap.from_list(
    "common to rare", ["#2f7fc1", "#6f77c9", "#a86bb5", "#c9607f", "#d97030"]
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
    """K colours, common to rare, as #rrggbb."""
    return [to_hex(COMMON_TO_RARE(k / max(classes - 1, 1))) for k in range(classes)]


@contextmanager
def chart(title: str, labelled: bool = True) -> Iterator[tuple[Figure, Axes]]:
    """Axes with a title, and room for the curves' names on the right where they are labelled."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The browser, not matplotlib, draws the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0.12, 0.15, 0.58 if labelled else 0.84, 0.72))
        figure.text(0.005, 0.945, title, fontsize=11, fontweight="bold")
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        axes.tick_params(length=3)
        yield figure, axes


@contextmanager
def panel(title: str) -> Iterator[tuple[Figure, Axes]]:
    """Axes of one among many small charts, which are read side by side."""
    style: dict[Any, Any] = {**STYLE, "font.size": 8}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=PANEL)
        axes = figure.add_axes((0.17, 0.13, 0.8, 0.73))
        figure.text(0.005, 0.91, title, fontsize=9, fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        axes.tick_params(length=2)
        yield figure, axes


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each curve's name at its right end, moved apart where they would overlap."""
    transform = axes.transData + axes.transAxes.inverted()
    placed = sorted((float(transform.transform((0, y))[1]), name, c) for y, name, c in ends)
    step, floor, heights = 0.062, -1.0, []
    for height, _, _ in placed:
        floor = max(height, floor + step)
        heights.append(floor)
    ceiling = 1.02 + step
    for i in reversed(range(len(heights))):
        ceiling = heights[i] = min(heights[i], ceiling - step)
    for (_, name, colour), height in zip(placed, heights, strict=True):
        axes.annotate(
            name,
            (1.02, height),
            xycoords="axes fraction",
            color=colour,
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


def to_svg(figure: Figure, description: str) -> str:
    """A figure as SVG for the inside of a page: theme colours are CSS variables, no size, no ids
    but those it refers to, and none of the namespaces that a file of its own would need.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    body = buffer.getvalue().partition("<svg")[2].partition(">")[2]
    body = re.sub(r"<(metadata|style).*?</\1>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable}, {colour})")
    width, height = 72 * figure.get_size_inches()
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}">'
        + body
    )
