"""Class shares over generations: all together, laid on each other, and one small panel a class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.report.census_arrays import CensusArrays, Cube
from imgcollapse.report.chart import (
    FAINT,
    GREY,
    MUTED,
    PAPER,
    caption,
    chart,
    label_ends,
    palette,
    panel,
)
from imgcollapse.report.figure import Figure
from imgcollapse.report.formatting import listed, percent, short
from imgcollapse.report.grid_layout import class_note, shown_classes
from imgcollapse.report.long_tables import tidy
from imgcollapse.report.series import band, chance_band, mean, span

TICKS = (1e-4, 1e-3, 1e-2, 1e-1, 1)


def frequencies(counts: CensusArrays) -> Figure:
    """Share of each class among recognised samples, on a log scale, with its interval.

    Generations in which a class is not detected are crosses in the strip at the
    bottom. With several lineages: the mean, and each lineage as a thin line.
    """
    colours = palette(len(counts.classes))
    labels = shown_classes(len(counts.classes))
    average, limit = mean(counts.frequency), mean(counts.limit)
    floor = float(np.nanmin(limit)) if np.isfinite(limit).any() else 0.1
    with chart("Class shares, log scale") as (figure, axes):
        axes.set_yscale("log")
        below = average < limit
        vanished = [k for k in labels if below[:, k].any()]
        # Room below the limit: a row of crosses for each class that is below it somewhere.
        strip = floor / 1.5
        bottom = strip / 1.3 ** max(len(vanished), 1)
        axes.set_ylim(bottom, 1.25)
        if vanished:
            axes.axhspan(bottom, strip * 1.15, color=FAINT, alpha=0.35, linewidth=0)
            caption(axes, "below\nlimit", strip / 1.3 ** ((len(vanished) - 1) / 2))
        ends = []
        for k in labels:
            shares = np.where(counts.detected[:, :, k], counts.frequency[:, :, k], np.nan)
            if len(shares) > 1:
                axes.plot(shares.T, color=colours[k], linewidth=0.5, alpha=0.35)
            else:
                low = np.where(np.isfinite(shares[0]), counts.low[0, :, k], np.nan)
                band(axes, low.clip(strip * 1.15), counts.high[0, :, k], colours[k], 0.13)
            line = np.where(below[:, k], np.nan, average[:, k])
            axes.plot(line, color=colours[k], linewidth=1.8, marker="o", markersize=2.5)
            end = line[counts.last]
            if k in vanished:
                row = strip / 1.3 ** vanished.index(k)
                missing = np.flatnonzero(below[:, k])
                style = {"color": colours[k], "marker": "x", "markersize": 4, "linestyle": ""}
                axes.plot(missing, np.full(len(missing), row), **style)
                end = end if np.isfinite(end) else row
            name = short(counts.classes[k], 20)
            ends.append((float(end) if np.isfinite(end) else floor, name, colours[k]))
        span(axes, counts.last)
        label_ends(axes, ends)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticks([t for t in TICKS if t >= strip * 1.15])
        table = pd.concat([_shares_of(counts, k) for k in range(len(counts.classes))])
        return Figure.drawn(figure, "class-shares", _shares_in_words(counts), table)


def stacked(counts: CensusArrays) -> Figure:
    """Class shares laid on top of each other, commonest at the bottom, unrecognised on top."""
    known = np.nan_to_num(counts.frequency) * (counts.recognised / counts.n)[:, :, None]
    unknown = (counts.unrecognised / counts.n)[:, :, None]
    average = np.concatenate([known, unknown], axis=2).mean(axis=0)
    colours = [*palette(len(counts.classes)), GREY]
    with chart("Class shares, stacked") as (figure, axes):
        generations = np.arange(len(average))
        if len(average) == 1:  # an area needs two edges
            generations, average = np.array([0, 1]), average.repeat(2, axis=0)
            axes.set_xticks([0])
        edge = 0.4 if len(colours) <= 20 else 0
        axes.stackplot(generations, average.T, colors=colours, edgecolor=PAPER, linewidth=edge)
        axes.set_ylim(0, 1)
        axes.set_xlim(generations[0], generations[-1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        centres = average[-1].cumsum() - average[-1] / 2
        names = [*(short(name, 20) for name in counts.classes), UNRECOGNIZED]
        ends = [
            (float(centre), name, colour)
            for centre, name, colour, share in zip(
                centres, names, colours, average[-1], strict=True
            )
            if share > 0.03 and share >= np.sort(average[-1])[-8:].min()
        ]
        label_ends(axes, ends)
        first, last = (percent(float(average[g, -1])) for g in (0, -1))
        then = f", {last} of generation {counts.last}" if counts.last else ""
        alt = (
            f"Class shares laid on each other by generation. {_commonest(counts)} "
            f"Unrecognised: {first} of the real images{then}."
        )
        table = pd.DataFrame(
            {
                "generation": np.repeat(np.arange(counts.last + 1), len(colours)),
                "class": [*counts.classes, UNRECOGNIZED] * (counts.last + 1),
                "share": average[: counts.last + 1].ravel(),
            }
        )
        return Figure.drawn(figure, "class-shares-stacked", alt, table)


def chance_panels(counts: CensusArrays) -> list[tuple[int, Figure]]:
    """One panel for each class that is shown: its share beside the band of chance alone.

    Returns:
        Label and figure, common to rare.
    """
    return [(k, _panel(counts, k)) for k in shown_classes(len(counts.classes))]


def _panel(counts: CensusArrays, k: int) -> Figure:
    colour = palette(len(counts.classes))[k]
    limits = counts.limit[np.isfinite(counts.limit)]
    bottom = float(limits.min() / 4) if len(limits) else 0.01
    with panel(short(counts.classes[k], 24)) as (figure, axes):
        axes.set_yscale("log")
        axes.set_ylim(bottom, 1.2)
        span(axes, counts.last)
        ends = counts.drift_low[:, k].clip(bottom), counts.drift_high[:, k].clip(bottom)
        chance_band(axes, *ends)
        axes.plot(mean(counts.limit)[:, k], color=MUTED, linewidth=0.9, linestyle=(0, (1, 1.6)))
        x, share = np.arange(counts.last + 1), counts.frequency[:, :, k].clip(bottom)
        if len(share) > 1:
            axes.plot(share.T, color=colour, linewidth=0.6, alpha=0.5)
            axes.plot(mean(counts.frequency)[:, k].clip(bottom), color=colour, linewidth=2)
        else:
            low, high = (end[0, :, k].clip(bottom) for end in (counts.low, counts.high))
            axes.vlines(x, low, high, color=colour, alpha=0.55, linewidth=1.6)
            axes.plot(share[0], color=colour, linewidth=1)
            seen = counts.detected[0, :, k]
            axes.plot(x[seen], share[0, seen], color=colour, marker="o", ms=3, ls="")
            hollow = {"mec": colour, "mfc": PAPER, "marker": "o", "ms": 3, "ls": "", "mew": 0.9}
            axes.plot(x[~seen], share[0, ~seen], clip_on=False, zorder=3, **hollow)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticks([t for t in TICKS if t >= bottom])
        beside = {"chance_low": counts.drift_low[:, k], "chance_high": counts.drift_high[:, k]}
        table = _shares_of(counts, k, **beside)
        return Figure.drawn(figure, f"chance-{k}", _described(counts, k), table)


def _described(counts: CensusArrays, k: int) -> str:
    share = mean(counts.frequency)[counts.last, k]
    now = percent(share) if np.isfinite(share) else "undefined"
    low, high = counts.drift_low[counts.last, k], counts.drift_high[counts.last, k]
    return (
        f"{counts.classes[k]}: {percent(counts.expected[0, k])} of the real images, {now} of "
        f"generation {counts.last}, where chance alone allows {percent(low)} to {percent(high)}."
    )


def _shares_of(counts: CensusArrays, k: int, **beside: Cube) -> pd.DataFrame:
    """What is drawn of class k, under the census's names."""
    low, high = counts.low[:, :, k], counts.high[:, :, k]
    beside = {"detection_limit": mean(counts.limit)[:, k], **beside}
    table = tidy(counts.lineages, "frequency", counts.frequency[:, :, k], low, high, **beside)
    table.insert(list(table).index("frequency"), "class", counts.classes[k])
    return table


def _shares_in_words(counts: CensusArrays) -> str:
    """What the shares do, from the first generation to the last."""
    gone = [counts.classes[k] for k in reversed(range(len(counts.classes))) if _below(counts, k)]
    below = f" Below the detection limit by then: {listed(gone)}." if gone else ""
    note = class_note(len(counts.classes))
    shown = f" Shown are {note}." if note else ""
    return f"Class shares by generation, log scale. {_commonest(counts)}{below}{shown}"


def _below(counts: CensusArrays, k: int) -> bool:
    average, limit = mean(counts.frequency), mean(counts.limit)
    return bool(average[counts.last, k] < limit[counts.last, k])


def _commonest(counts: CensusArrays) -> str:
    share = mean(counts.frequency)[:, 0]
    now = percent(float(share[-1])) if np.isfinite(share[-1]) else "an undefined share"
    return (
        f"{counts.classes[0]}, the commonest class, goes from {percent(float(share[0]))} of the "
        f"real images to {now} of generation {counts.last}."
        if counts.last
        else f"{counts.classes[0]}, the commonest class, is {now} of the real images."
    )
