"""Curves over generations, as SVG that takes its colours from the page."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from imgcollapse.census import UNRECOGNISED
from imgcollapse.report.cells import class_note, shown_classes
from imgcollapse.report.summary import Counts, Cube, short

INK, MUTED, FAINT, GREY = "#1b1d21", "#6a7079", "#d9dce1", "#9aa0a8"
ACCENT = "#3b78b8"
# These follow the page's theme; class colours are of middle lightness and suit both themes.
VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--line", GREY: "--grey"}
# Blue to orange, the axis on which every common colour blindness still tells colours apart.
COMMON_TO_RARE = LinearSegmentedColormap.from_list(
    "common to rare", ["#2f7fc1", "#6f77c9", "#a86bb5", "#c9607f", "#d97030"]
)
STYLE = {
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
SIZE = 5.2, 3.6  # inches of 72 CSS pixels


def palette(classes: int) -> list[str]:
    """K colours, common to rare, as #rrggbb."""
    return [to_hex(COMMON_TO_RARE(k / max(classes - 1, 1))) for k in range(classes)]


def frequencies(counts: Counts) -> str:
    """Share of each class among recognised samples, on a log scale, with its interval.

    Generations in which a class is not seen are crosses in the strip at the bottom. With several
    lineages: the mean, and each lineage as a thin line.
    """
    shares, colours = counts.shares, palette(len(counts.classes))
    labels = shown_classes(len(counts.classes))
    floor = 1 / float(np.nanmax(counts.n))
    with _chart("Class shares, log scale") as (figure, axes):
        axes.set_yscale("log")
        mean = _mean(shares)
        generations = np.arange(len(mean))
        vanished = [k for k in labels if (mean[:, k] == 0).any()]
        # Room below the floor: a row of crosses for each class that is missing somewhere.
        strip = floor / 2.2
        bottom = strip / 1.45 ** len(vanished)
        axes.set_ylim(bottom, 1.25)
        if vanished:
            axes.axhspan(bottom, strip * 1.3, color=FAINT, alpha=0.35, linewidth=0)
            _caption(axes, "none\nseen", strip / 1.45 ** ((len(vanished) - 1) / 2))
        axes.axhline(floor, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        ends = []
        for k in labels:
            visible = np.where(shares[:, :, k] > 0, shares[:, :, k], np.nan)
            if len(shares) > 1:
                axes.plot(visible.T, color=colours[k], linewidth=0.5, alpha=0.35)
            else:
                low = np.maximum(counts.low[0, :, k], strip * 1.3)
                here = np.isfinite(visible[0])
                axes.fill_between(
                    generations,
                    low,
                    counts.high[0, :, k],
                    where=here.tolist(),
                    color=colours[k],
                    alpha=0.13,
                    linewidth=0,
                )
            line = np.where(mean[:, k] > 0, mean[:, k], np.nan)
            axes.plot(line, color=colours[k], linewidth=1.8, marker="o", markersize=2.5)
            end = mean[counts.last, k]
            if k in vanished:
                row = strip / 1.45 ** vanished.index(k)
                missing = np.flatnonzero(mean[:, k] == 0)
                style = {"color": colours[k], "marker": "x", "markersize": 4, "linestyle": ""}
                axes.plot(missing, np.full(len(missing), row), **style)
                end = end or row
            ends.append((end, short(counts.classes[k], 22), colours[k]))
        _label_ends(axes, ends)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share, floor)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticks([t for t in (1e-4, 1e-3, 1e-2, 1e-1, 1) if t >= floor])
        _caption(axes, "1 sample", floor)
        note = class_note(len(counts.classes))
        return _svg(figure, f"Share of each class by generation, log scale. {note}".strip())


def stacked(counts: Counts) -> str:
    """Class shares laid on top of each other, commonest at the bottom, unrecognised on top."""
    parts = np.concatenate([counts.named, counts.unrecognised[:, :, None]], axis=2)
    mean = _mean(parts / counts.n[:, :, None])
    colours = [*palette(len(counts.classes)), GREY]
    with _chart("Class shares, stacked") as (figure, axes):
        generations = np.arange(len(mean))
        if len(mean) == 1:  # an area needs two edges
            generations, mean = np.array([0, 1]), mean.repeat(2, axis=0)
            axes.set_xticks([0])
        axes.stackplot(
            generations, mean.T, colors=colours, edgecolor="#ffffff", linewidth=0.4, alpha=0.9
        )
        axes.set_ylim(0, 1)
        axes.set_xlim(generations[0], generations[-1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        centres = mean[-1].cumsum() - mean[-1] / 2
        names = [*(short(name, 22) for name in counts.classes), UNRECOGNISED]
        ends = [
            (float(centre), name, colour)
            for centre, name, colour, share in zip(centres, names, colours, mean[-1], strict=True)
            if share > 0.03
        ]
        _label_ends(axes, ends)
        return _svg(figure, "Stacked class shares by generation, with the unrecognised on top.")


def heterozygosity(counts: Counts) -> str:
    """1 - sum p^2 by generation."""
    with _chart("Heterozygosity: chance that two samples differ", labelled=False) as (figure, axes):
        _lines(axes, counts.heterozygosity)
        axes.set_ylim(0, 1)
        return _svg(figure, "Heterozygosity by generation.")


def classes_seen(counts: Counts) -> str:
    """How many classes have at least one sample, by generation."""
    with _chart("Classes seen", labelled=False) as (figure, axes):
        _lines(axes, counts.seen)
        axes.set_ylim(0, len(counts.classes) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axhline(len(counts.classes), color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        return _svg(figure, f"Number of the {len(counts.classes)} classes seen, by generation.")


def distance(metrics: pd.DataFrame, metric: str, generations: int) -> str | None:
    """A metric of the whole population beside the band of real against real at the same n.

    Returns:
        None where the run has no value of it.
    """
    values = _series(metrics, metric, "value", generations)
    if values is None:
        return None
    with _chart(f"{metric.upper()} to real images", labelled=False) as (figure, axes):
        ends = [_series(metrics, f"{metric}_floor", end, generations) for end in ("low", "high")]
        if ends[0] is not None and ends[1] is not None:
            low, high = (_mean(end) for end in ends)
            where = np.isfinite(low) & np.isfinite(high)
            x = np.arange(generations)
            axes.fill_between(x, low, high, where=where.tolist(), color=GREY, alpha=0.35, lw=0)
            if len(x) == 1:
                axes.vlines(x, low, high, color=GREY, alpha=0.35, linewidth=8)
        _lines(axes, values)
        if metric == "fid":
            axes.set_ylim(bottom=0)
        axes.annotate(
            "grey: real against real, 95%",
            (0.02, 0.97),
            xycoords="axes fraction",
            color=MUTED,
            fontsize=9,
            va="top",
        )
        return _svg(figure, f"{metric.upper()} by generation, with its real-against-real floor.")


@contextmanager
def _chart(title: str, labelled: bool = True) -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The browser, not matplotlib, draws the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=SIZE)
        axes = figure.add_axes((0.12, 0.15, 0.58 if labelled else 0.84, 0.73))
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", x=-0.12, pad=10)
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.03)
        axes.tick_params(length=3)
        yield figure, axes


def _lines(axes: Axes, values: Cube) -> None:
    """float64[L, G]: the mean, and each of several lineages as a thin line."""
    if len(values) > 1:
        axes.plot(values.T, color=GREY, linewidth=0.5, alpha=0.7)
    axes.plot(_mean(values), color=ACCENT, linewidth=2, marker="o", markersize=3)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
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


def _caption(axes: Axes, text: str, y: float) -> None:
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


def _percent(share: float, floor: float) -> str:
    # Where one sample is almost a tick's share the two would be written over each other.
    return "" if share < 1.6 * floor else f"{share * 100:g}%"


def _mean(values: Cube) -> Cube:
    """Mean over lineages, float64[L, ...]; NaN where all are."""
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _series(metrics: pd.DataFrame, metric: str, column: str, generations: int) -> Cube | None:
    """float64[L, G] of a whole-population metric, or None where it is nowhere defined."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["class"] == "")]
    if "lineage" not in rows:
        rows = rows.assign(lineage=0)
    wide = rows.pivot(index="lineage", columns="generation", values=column)
    values = wide.reindex(columns=range(generations)).astype("Float64")
    found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found if np.isfinite(found).any() else None


def _svg(figure: Figure, description: str) -> str:
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
    width, height = (72 * inches for inches in SIZE)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}">'
        + body
    )
