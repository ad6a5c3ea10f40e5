"""Section "Drift, or the model?": each class beside what drift alone would do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imgcollapse.report import charts
from imgcollapse.report.arrays import CensusArrays, mean
from imgcollapse.report.charts import MUTED, PAPER, Figure, palette
from imgcollapse.report.data import PageData
from imgcollapse.report.drift_test import DriftTest, TimeLeft, unmasked
from imgcollapse.report.formatting import NONE, p_value, percent, short, signed
from imgcollapse.report.grid_layout import shown_classes
from imgcollapse.report.section import Block, Column, Panels, Section, Table, TableRow, Text
from imgcollapse.report.sections.curves import shares_table


class Drift(Section):
    """The share of each class beside drift alone, and whether that explains it."""

    name, runs = "chance", "one"
    heading = "Drift, or the model?"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """A panel and a row of a table for each class."""
        census, test = data.run.census, data.run.drift_test
        panels = chance_panels(census)
        figures = [figure for _, figure in panels]
        lineages = len(census.lineages)
        drawn = (
            f"Bold is the mean of {lineages} lineages, thin is each of them."
            if lineages > 1
            else "Bars are 95% intervals of the share; a hollow point: not detected, the interval "
            "includes 0."
        )
        said = (
            "Share of each class among the recognized samples, on one log scale, by generation. "
            "Gray with dashed edges: the range in which drift alone leaves 95% of lineages, with "
            "a perfect learner under the same regime. Dotted: the detection limit, the share with "
            f"which a class is detected in 95% of cases. {drawn}"
        )
        words = [test.words(k) if test else "" for k, _ in panels]
        whole = charts.side_by_side("chance", figures)
        found: list[Block] = [Text(said), Panels(figures, whole, words)]
        if test is None:
            return [*found, Text(f"No verdict: {data.run.untested_reason}.")]
        return [*found, _table(census, test), Text(_explained(census, test))]


def _explained(census: CensusArrays, test: DriftTest) -> str:
    """Explanation of the table."""
    left = (
        " Generations left: the median until the class is lost if drift alone goes on, from its "
        "share now (from both ends of its interval)."
        if test.left
        else ""
    )
    return (
        "s is the selection coefficient: in every generation the model shifts the log odds of the "
        "class by s; below 0 it draws the class too rarely. p is how often drift alone looks at "
        f"least as biased, in {len(test.null.shares):,} replays; of such p one in twenty is below "
        f"0.05 by chance, so the verdict goes by p corrected for {len(census.classes)} classes "
        "(Holm). “Too rare to tell”: not even a halving of the odds in every generation can be "
        f"ruled out.{left}"
    )


def _table(census: CensusArrays, test: DriftTest) -> Table:
    columns = [
        Column("class"),
        Column("s (95% interval)"),
        Column("p", number=True, wide=True),
        Column("p, corrected", number=True, wide=True),
        Column("verdict"),
        *([Column("generations left")] if test.left else []),
    ]
    return Table("Drift, or the model?", columns, verdict_rows(census, test))


def verdict_rows(census: CensusArrays, test: DriftTest) -> list[TableRow]:
    """One row for each class, common to rare: s, p, corrected p, verdict, generations left."""
    rows = []
    for k, color in enumerate(palette(len(census.classes))):
        words, p = test.words(k), unmasked(test.selection.p, k)
        cells = [
            census.classes[k],
            _coefficient(test, k),
            NONE if p is None else p_value(p, len(test.null.shares)),
            NONE if p is None else f"{test.corrected[k]:.2g}",
            words,
        ]
        cells += [_left(test.left[k])] if test.left else []
        rows.append(TableRow(cells, color, alert=words.startswith("the model")))
    return rows


def chance_panels(census: CensusArrays) -> list[tuple[int, Figure]]:
    """Label and panel of each class that is shown, common to rare: its share beside drift alone."""
    return [(k, _panel(census, k)) for k in shown_classes(len(census.classes))]


def _panel(census: CensusArrays, k: int) -> Figure:
    color = palette(len(census.classes))[k]
    limits = census.limit[np.isfinite(census.limit)]
    bottom = float(limits.min() / 4) if len(limits) else 0.01
    with charts.panel(short(census.classes[k], 24)) as (figure, axes):
        axes.set_yscale("log")
        axes.set_ylim(bottom, 1.2)
        charts.span(axes, census.last)
        ends = census.drift_low[:, k].clip(bottom), census.drift_high[:, k].clip(bottom)
        charts.chance_band(axes, *ends)
        axes.plot(mean(census.limit)[:, k], color=MUTED, linewidth=0.9, linestyle=(0, (1, 1.6)))
        x, share = np.arange(census.last + 1), census.frequency[:, :, k].clip(bottom)
        if len(share) > 1:
            axes.plot(share.T, color=color, linewidth=0.6, alpha=0.5)
            axes.plot(mean(census.frequency)[:, k].clip(bottom), color=color, linewidth=2)
        else:
            low, high = (end[0, :, k].clip(bottom) for end in (census.low, census.high))
            axes.vlines(x, low, high, color=color, alpha=0.55, linewidth=1.6)
            axes.plot(share[0], color=color, linewidth=1)
            seen = census.detected[0, :, k]
            axes.plot(x[seen], share[0, seen], color=color, marker="o", ms=3, ls="")
            hollow = {"mec": color, "mfc": PAPER, "marker": "o", "ms": 3, "ls": "", "mew": 0.9}
            axes.plot(x[~seen], share[0, ~seen], clip_on=False, zorder=3, **hollow)
        charts.share_ticks(axes, bottom)
        beside = {"chance_low": census.drift_low[:, k], "chance_high": census.drift_high[:, k]}
        table = shares_table(census, k, **beside)
        return Figure.drawn(figure, f"chance-{k}", _described(census, k), table)


def _described(census: CensusArrays, k: int) -> str:
    share = mean(census.frequency)[census.last, k]
    now = percent(share) if np.isfinite(share) else "undefined"
    low, high = census.drift_low[census.last, k], census.drift_high[census.last, k]
    return (
        f"{census.classes[k]}: {percent(census.expected[0, k])} of the real images, {now} of "
        f"generation {census.last}, where drift alone allows {percent(low)} to {percent(high)}."
    )


def _coefficient(test: DriftTest, k: int) -> str:
    selection = test.selection
    s, low, high = (unmasked(x, k) for x in (selection.s, selection.low, selection.high))
    if low is None:
        return NONE if high is None else f"below {signed(high)}"
    if high is None or s is None:
        return f"above {signed(low)}"
    return f"{signed(s)} ({signed(low)} to {signed(high)})"


def _left(times: TimeLeft) -> str:
    """The median from the estimate, and from both ends of its interval."""
    estimate, low, high = (
        str(time.median)
        if time.median is not None
        else "never"
        if time.lost == 0
        else f"over {time.horizon:,}"
        for time in times
    )
    return f"{estimate} ({low} to {high})" if low != high else estimate
