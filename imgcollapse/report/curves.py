"""Curves over generations: class shares, diversity, distance to real images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from imgcollapse.census import UNRECOGNISED
from imgcollapse.report.cells import class_note, shown_classes
from imgcollapse.report.chart import (
    FAINT,
    GREY,
    MUTED,
    PAPER,
    caption,
    chart,
    label_ends,
    palette,
    to_svg,
)
from imgcollapse.report.counts import Counts, Cube
from imgcollapse.report.summary import short

ACCENT = "#3b78b8"


def frequencies(counts: Counts) -> str:
    """Share of each class among recognised samples, on a log scale, with its interval.

    Generations in which a class is not seen are crosses in the strip at the bottom. With several
    lineages: the mean, and each lineage as a thin line.
    """
    shares, colours = counts.shares, palette(len(counts.classes))
    labels = shown_classes(len(counts.classes))
    floor = 1 / float(counts.n.max())
    with chart("Class shares, log scale") as (figure, axes):
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
            caption(axes, "none\nseen", strip / 1.45 ** ((len(vanished) - 1) / 2))
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
        label_ends(axes, ends)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share, floor)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticks([t for t in (1e-4, 1e-3, 1e-2, 1e-1, 1) if t >= floor])
        caption(axes, "1 sample", floor)
        note = class_note(len(counts.classes))
        return to_svg(figure, f"Share of each class by generation, log scale. {note}".strip())


def stacked(counts: Counts) -> str:
    """Class shares laid on top of each other, commonest at the bottom, unrecognised on top."""
    parts = np.concatenate([counts.named, counts.unrecognised[:, :, None]], axis=2)
    mean = _mean(parts / counts.n[:, :, None])
    colours = [*palette(len(counts.classes)), GREY]
    with chart("Class shares, stacked") as (figure, axes):
        generations = np.arange(len(mean))
        if len(mean) == 1:  # an area needs two edges
            generations, mean = np.array([0, 1]), mean.repeat(2, axis=0)
            axes.set_xticks([0])
        edge = 0.4 if len(colours) <= 20 else 0
        axes.stackplot(generations, mean.T, colors=colours, edgecolor=PAPER, linewidth=edge)
        axes.set_ylim(0, 1)
        axes.set_xlim(generations[0], generations[-1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        centres = mean[-1].cumsum() - mean[-1] / 2
        names = [*(short(name, 22) for name in counts.classes), UNRECOGNISED]
        ends = [
            (float(centre), name, colour)
            for centre, name, colour, share in zip(centres, names, colours, mean[-1], strict=True)
            if share > 0.03 and share >= np.sort(mean[-1])[-8:].min()
        ]
        label_ends(axes, ends)
        return to_svg(figure, "Stacked class shares by generation, with the unrecognised on top.")


def heterozygosity(counts: Counts) -> str:
    """1 - sum p^2 by generation."""
    with chart("Heterozygosity: chance that two samples differ", labelled=False) as (figure, axes):
        _lines(axes, counts.heterozygosity)
        axes.set_ylim(0, 1)
        return to_svg(figure, "Heterozygosity by generation.")


def classes_seen(counts: Counts) -> str:
    """How many classes have at least one sample, by generation."""
    with chart("Classes seen", labelled=False) as (figure, axes):
        _lines(axes, counts.seen)
        axes.set_ylim(0, len(counts.classes) * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axhline(len(counts.classes), color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        return to_svg(figure, f"Number of the {len(counts.classes)} classes seen, by generation.")


def distance(metrics: pd.DataFrame, metric: str, generations: int) -> str | None:
    """A metric of the whole population beside the band of real against real at the same n.

    Returns:
        None where the run has no value of it.
    """
    values = _series(metrics, metric, "value", generations)
    if values is None:
        return None
    with chart(f"{metric.upper()} to real images", labelled=False) as (figure, axes):
        lows = _series(metrics, f"{metric}_floor", "low", generations)
        highs = _series(metrics, f"{metric}_floor", "high", generations)
        if lows is not None and highs is not None:
            low, high = _mean(lows), _mean(highs)
            where = np.isfinite(low) & np.isfinite(high)
            x = np.arange(generations)
            axes.fill_between(x, low, high, where=where.tolist(), color=GREY, alpha=0.35, lw=0)
            if len(x) == 1:
                axes.vlines(x, low, high, color=GREY, alpha=0.35, linewidth=8)
            axes.annotate(
                "grey: real against real, 95%",
                (0.02, 0.97),
                xycoords="axes fraction",
                color=MUTED,
                fontsize=9,
                va="top",
            )
        _lines(axes, values)
        if metric == "fid":
            axes.set_ylim(bottom=0)
        return to_svg(figure, f"{metric.upper()} by generation, with its real-against-real floor.")


def _lines(axes: Axes, values: Cube) -> None:
    """float64[L, G]: the mean, and each of several lineages as a thin line."""
    if len(values) > 1:
        axes.plot(values.T, color=GREY, linewidth=0.5, alpha=0.7)
    axes.plot(_mean(values), color=ACCENT, linewidth=2, marker="o", markersize=3)


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
    rows = metrics.loc[(metrics["metric"] == metric) & (metrics["class"] == "")]
    if "lineage" not in rows:
        rows = rows.assign(lineage=0)
    wide = rows.pivot(index="lineage", columns="generation", values=column)
    values = wide.reindex(columns=range(generations)).astype("Float64")
    found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found if np.isfinite(found).any() else None
