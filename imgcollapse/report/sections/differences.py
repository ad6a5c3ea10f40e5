"""Section "What was learned": each run beside the baseline, in sentences, charts and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator

from imgcollapse.drift import LogRank
from imgcollapse.report.arrays import interval_of_mean, mean
from imgcollapse.report.chart import GREY, PAPER, Figure, file_name, panel, side_by_side
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import NONE, listed, percent, short
from imgcollapse.report.measures import (
    SMALLEST_SHARE,
    Difference,
    Measure,
    SurvivalData,
    differences,
    measures,
    survival_data,
)
from imgcollapse.report.section import (
    Block,
    Cards,
    Column,
    Details,
    Group,
    Panels,
    Section,
    Table,
    TableCell,
    TableRow,
    Text,
)

LEVEL = 0.05
Gaps = Mapping[Measure, Difference]


class Differences(Section):
    """The result of each run beside the baseline, and the limits of conclusions."""

    name, runs = "differences", "several"
    heading = "What was learned, and what cannot be concluded"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Sentences for each run, intervals of the differences, and a table; none for one run."""
        others, shown, survival = data.runs[1:], measures(data), survival_data(data)
        if not others:
            return []
        gaps = [differences(data, run, shown) for run in others]
        cards = []
        for run, of_run, lost in zip(others, gaps, survival[1:], strict=True):
            test = lost.against(survival[0])
            said = learned(data, run, of_run, (lost, survival[0]), test)
            cannot = f"Cannot be concluded: {unknown(data, run, of_run, test)}"
            cards.append((run.title, run.css, [said, cannot]))
        forests = [forest(data, measure, [of_run[measure] for of_run in gaps]) for measure in shown]
        every = [gap for of_run in gaps for gap in of_run.values()]
        how = intervals(every, len(data.run.lineages))
        rows = [
            _row(data, run, shown, of_run)
            for run, of_run in zip(data.runs, [None, *gaps], strict=True)
        ]
        columns = [Column("arm"), *(Column(measure.title) for measure in shown)]
        title = f"Differences from {data.run.title}"
        several = max(len(run.lineages) for run in data.runs) > 1
        mean_of = "Mean over lineages; below it its 95% interval; below that"
        below = (
            f"{mean_of if several else 'Value; below it'} the difference from {data.run.title}, "
            "bold where its interval leaves out 0. pp: percentage points."
        )
        return [
            Cards(cards),
            Text(
                "Of no arm: what is lost inside a class, which the census does not see; and what "
                "another generator, other data or more generations would give.",
                "remark",
            ),
            Group(
                title,
                [
                    Text(f"In generation {data.last}. Filled: the interval leaves out 0. {how}"),
                    Panels(forests, side_by_side("differences", forests, 3), style="forests"),
                    Details("As a table", [Table(title, columns, rows, "measured"), Text(below)]),
                ],
            ),
        ]


def learned(
    data: PageData,
    run: ReportedRun,
    gaps: Gaps,
    survival: tuple[SurvivalData, SurvivalData],
    test: LogRank,
) -> str:
    """The result of an arm beside the baseline.

    Args:
        data: all runs.
        run: which.
        gaps: its differences from the baseline in the last generation.
        survival: of its rare classes, and of the baseline's.
        test: of the one against the other.
    """
    base, rare = data.run.title, next(iter(gaps))  # the first measure is about rare classes
    ends = [mean(rare.of(x, data.last + 1))[data.last] for x in (run, data.run)]
    if not np.isfinite(ends).all():
        said = [f"The {rare.name} cannot be compared in generation {data.last}: it is undefined."]
    else:
        mine, theirs = (percent(float(end)) for end in ends)
        gap = gaps[rare]
        verb = "Keeps more" if gap.sign > 0 else "Keeps less"
        shown = f"{mine} against {theirs}, {_with_interval(rare, gap)}"
        said = [
            f"Cannot be distinguished from {base} by the {rare.name}: {shown}."
            if gap.sign == 0
            else f"{verb} of the rarest classes than {base}: {shown}."
        ]
    said.append(_survival(survival, test, base))
    others = [measure for measure in gaps if measure is not rare]
    for sign, word in ((1, "Better"), (-1, "Worse")):
        found = [m for m in others if gaps[m].sign * m.better == sign]
        if found:
            parts = [f"{m.name} ({m.change(gaps[m].value or 0)})" for m in found]
            said.append(f"{word} by {listed(parts, most=6)}.")
    return " ".join(said)


def unknown(data: PageData, run: ReportedRun, gaps: Gaps, test: LogRank) -> str:
    """The conclusions that a run does not allow."""
    said = []
    if all(gap.low is None for gap in gaps.values()):
        count = min(len(run.lineages), len(data.run.lineages))
        said.append(
            f"Whether any of this would happen again: with {count} lineage"
            f"{'s' * (count > 1)} no interval over lineages can be given."
        )
    else:
        blurred = [m.name for m, gap in gaps.items() if gap.low is not None and gap.sign == 0]
        if blurred:
            said.append(
                f"Whether it changes the {listed(blurred, most=6)}: "
                f"{'this interval includes' if len(blurred) == 1 else 'these intervals include'} 0."
            )
    if test.p is not None and test.p > LEVEL:
        said.append("Whether rare classes survive longer in one of the two.")
    changed = differing(data.run.run.record["study"], run.run.record["study"])
    if len(changed) > 1:
        said.append(f"Which of {listed(changed, most=6)} made the difference: all of them differ.")
    return " ".join(said) or "Nothing that is measured here; see below for what is not."


def intervals(gaps: Sequence[Difference], paired_lineages: int) -> str:
    """Sentence on the method of the differences' intervals."""
    kinds = {gap.method for gap in gaps if gap.method}
    if not kinds:
        return "Where an arm has one lineage, no interval over lineages can be given."
    said = []
    if "paired" in kinds:
        said.append(
            "Intervals are 95%, by Student’s t over the differences of lineages of the same number "
            f"({paired_lineages} pairs), which start from the same seed."
        )
    if "Welch" in kinds:
        said.append("Intervals are 95%, by Welch’s t over the lineages of both arms.")
    if len(kinds) > 1:
        said.append("The first holds where both arms have the same lineages and seed.")
    said.append("They are not corrected for how many there are: of twenty, one misses by chance.")
    return " ".join(said)


def _survival(survival: tuple[SurvivalData, SurvivalData], test: LogRank, base: str) -> str:
    mine, theirs = (f"{int(x.lost.sum())} of {len(x.lost)}" for x in survival)
    facts = f"Rare classes go extinct in {mine} cases, in {base} in {theirs}"
    if test.p is None or test.statistic is None:
        return f"{facts}." if any(x.lost.any() for x in survival) else "No extinctions."
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.2g}"
    if test.p > LEVEL:
        return f"{facts} (log-rank {p}: not distinguishable)."
    return f"{facts}: they survive {'longer' if test.statistic < 0 else 'shorter'} (log-rank {p})."


def _with_interval(measure: Measure, gap: Difference) -> str:
    if gap.value is None:
        return "difference undefined"
    said = f"difference {measure.change(gap.value)}"
    if gap.low is None or gap.high is None:
        return said
    return f"{said}, 95% {measure.change(gap.low)} to {measure.change(gap.high)}"


def forest(data: PageData, measure: Measure, gaps: Sequence[Difference]) -> Figure:
    """Differences of the arms from the baseline, one below the other, with 95% intervals.

    Args:
        data: the runs.
        measure: the measure.
        gaps: one for each run but the baseline.
    """
    with panel(measure.title.partition(":")[0]) as (figure, axes):
        figure.set_size_inches(3.4, 0.62 + 0.25 * len(gaps))
        height = figure.get_size_inches()[1]
        axes.set_position((0.36, 0.28 / height, 0.56, 0.25 * len(gaps) / height))
        figure.texts[0].set_position((0.005, 1 - 0.17 / height))
        axes.axvline(0, color=GREY, linewidth=1)
        for y, (run, gap) in enumerate(zip(data.runs[1:], gaps, strict=True)):
            axes.annotate(
                short(run.title, 20),
                (0, y),
                xycoords=("axes fraction", "data"),
                xytext=(-6, 0),
                textcoords="offset points",
                color=run.color,
                ha="right",
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
            if gap.value is None:
                continue
            if gap.low is not None and gap.high is not None:
                axes.plot([gap.low, gap.high], [y, y], color=run.color, linewidth=2, alpha=0.6)
            face = run.color if gap.sign else PAPER
            style = {"mec": run.color, "mfc": face, "ms": 5, "ls": "", "mew": 1.2, "zorder": 3}
            axes.plot(gap.value, y, marker=run.marker, **style)
        axes.set_ylim(len(gaps) - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        if measure.share:
            low, high = axes.get_xlim()
            axes.set_xlim(min(low, -SMALLEST_SHARE), max(high, SMALLEST_SHARE))
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda gap, _: measure.change(gap)))
        said = (
            f"{run.title} {'undefined' if gap.value is None else measure.change(gap.value)}"
            for run, gap in zip(data.runs[1:], gaps, strict=True)
        )
        alt = f"{measure.title}, difference from {data.run.title}: {'; '.join(said)}."
        table = differences_table(data, measure, gaps)
        return Figure.drawn(figure, f"difference-{file_name(measure.name).lower()}", alt, table)


def _row(data: PageData, run: ReportedRun, shown: Sequence[Measure], gaps: Gaps | None) -> TableRow:
    """One run of the table: each measure with its interval, and its difference below."""
    cells: list[str | TableCell] = [run.title]
    for measure in shown:
        values = measure.of(run, data.last + 1)[:, [data.last]]
        value, (low, high) = mean(values)[0], interval_of_mean(values)
        small, bold = [], False
        if np.isfinite(low[0]):
            small.append(f"{measure.show(float(low[0]))} to {measure.show(float(high[0]))}")
        if gaps is None:
            small.append("baseline")
        elif (gap := gaps[measure]).value is not None:
            said, bold = measure.change(gap.value), gap.sign != 0
            if gap.low is not None and gap.high is not None:
                said += f" ({measure.change(gap.low)} to {measure.change(gap.high)})"
            small.append(said)
        cells.append(
            TableCell(measure.show(float(value)) if np.isfinite(value) else NONE, small, bold)
        )
    return TableRow(cells, run.css)


def differences_table(data: PageData, measure: Measure, gaps: Sequence[Difference]) -> pd.DataFrame:
    """One row for each run but the baseline."""
    rows = [
        {
            "measure": measure.title,
            "generation": data.last,
            "arm": run.title,
            "difference": gap.value,
            "low": gap.low,
            "high": gap.high,
            "interval": gap.method,
        }
        for run, gap in zip(data.runs[1:], gaps, strict=True)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(["difference", "low", "high"], np.float64))


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Settings in which two studies differ, such as "regime", "generator.steps"."""
    found = []
    for key in one:
        mine, theirs = one[key], other.get(key, {})
        if mine == theirs:
            continue
        both = isinstance(mine, Mapping) and isinstance(theirs, Mapping)
        if both and mine.get("kind") == theirs.get("kind"):
            found += [f"{key}.{x}" for x in mine if mine[x] != theirs.get(x)]
        else:
            found.append(key)
    return found
