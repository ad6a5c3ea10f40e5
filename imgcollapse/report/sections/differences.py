"""Section "What was learned": each run beside the baseline, in sentences, charts and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from imgcollapse.drift import LogRank
from imgcollapse.report import charts, measures, section
from imgcollapse.report.arrays import interval_of_mean, mean
from imgcollapse.report.charts import PAPER, Figure, file_name
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import NONE, listed, percent, short
from imgcollapse.report.measures import Difference, Measure, SurvivalData
from imgcollapse.report.section import Group, Text

LEVEL = 0.05
Gaps = Mapping[Measure, Difference]
Survivals = tuple[SurvivalData, SurvivalData]


class Differences(section.Section):
    """The result of each run beside the baseline, and the limits of conclusions."""

    name, runs = "differences", "several"
    heading = "What was learned, and what cannot be concluded"

    def blocks(self, data: PageData) -> Sequence[section.Block]:
        """Sentences for each run, intervals of the differences, and a table; none for one run."""
        others, shown = data.runs[1:], measures.measures(data)
        baseline, *survival = measures.survival_data(data)
        if not others:
            return []
        gaps = [measures.differences(data, run, shown) for run in others]
        cards = []
        for run, of_run, lost in zip(others, gaps, survival, strict=True):
            test = lost.against(baseline)
            said = learned(data, run, of_run, (lost, baseline), test)
            cannot = f"Cannot be concluded: {unknown(data, run, of_run, test)}"
            cards.append((run.title, run.css, [said, cannot]))
        forests = [forest(data, measure, [of_run[measure] for of_run in gaps]) for measure in shown]
        how = intervals([x for of_run in gaps for x in of_run.values()], len(data.run.lineages))
        rows = [
            _row(data, run, shown, of_run)
            for run, of_run in zip(data.runs, [None, *gaps], strict=True)
        ]
        columns = [section.Column(title) for title in ("arm", *(m.title for m in shown))]
        title = f"Differences from {data.run.title}"
        several = max(len(run.lineages) for run in data.runs) > 1
        mean_of = "Mean over lineages; below it its 95% interval; below that"
        below = (
            f"{mean_of if several else 'Value; below it'} the difference from {data.run.title}, "
            "bold where its interval leaves out 0. pp: percentage points."
        )
        none = (
            "Of no arm: what is lost inside a class, which the census does not see; and what "
            "another generator, other data or more generations would give."
        )
        whole = charts.side_by_side("differences", forests, 3)
        table = section.Table(title, columns, rows, "measured")
        differ = [
            Text(f"In generation {data.last}. Filled: the interval leaves out 0. {how}"),
            section.Panels(forests, whole, style="forests"),
            section.Details("As a table", [table, Text(below)]),
        ]
        return [section.Cards(cards), Text(none, "remark"), Group(title, differ)]


def learned(
    data: PageData, run: ReportedRun, gaps: Gaps, survival: Survivals, test: LogRank
) -> str:
    """The result of an arm beside the baseline, from its differences in the last generation.

    `survival` is of its rare classes and of the baseline's, and `test` of one against the other.
    """
    base, rare = data.run.title, next(iter(gaps))  # the first measure is about rare classes
    ends = [mean(rare.of(x, data.last + 1))[data.last] for x in (run, data.run)]
    if not np.isfinite(ends).all():
        said = [f"The {rare.name} cannot be compared in generation {data.last}: it is undefined."]
    else:
        mine, theirs = (percent(float(end)) for end in ends)
        verdict = {
            1: f"Keeps more of the rarest classes than {base}",
            -1: f"Keeps less of the rarest classes than {base}",
            0: f"Cannot be distinguished from {base} by the {rare.name}",
        }[gaps[rare].sign]
        said = [f"{verdict}: {mine} against {theirs}, {_with_interval(rare, gaps[rare])}."]
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
    changed = differing(data.run.study, run.study)
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


def _survival(survival: Survivals, test: LogRank, base: str) -> str:
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
    """Differences of the arms from the baseline, one below the other, with 95% intervals."""
    with charts.panel(measure.title.partition(":")[0]) as (figure, axes):
        charts.as_rows(figure, axes, len(gaps), 0.25, (3.4, 0.28, 0.17, 0.36, 0.56), around=0.62)
        axes.axvline(0, color=charts.GREY, linewidth=1)
        for y, (run, gap) in enumerate(zip(data.runs[1:], gaps, strict=True)):
            charts.caption(axes, short(run.title, 20), y, -6, color=run.color)
            if gap.value is None:
                continue
            if gap.low is not None and gap.high is not None:
                axes.plot([gap.low, gap.high], [y, y], color=run.color, linewidth=2, alpha=0.6)
            face = run.color if gap.sign else PAPER
            style = {"mec": run.color, "mfc": face, "ms": 5, "ls": "", "mew": 1.2, "zorder": 3}
            axes.plot(gap.value, y, marker=run.marker, **style)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        if measure.share:
            (low, high), least = axes.get_xlim(), measures.SMALLEST_SHARE
            axes.set_xlim(min(low, -least), max(high, least))
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.xaxis.set_major_formatter(lambda gap, _: measure.change(gap))
        said = "; ".join(
            f"{run.title} {'undefined' if gap.value is None else measure.change(gap.value)}"
            for run, gap in zip(data.runs[1:], gaps, strict=True)
        )
        alt = f"{measure.title}, difference from {data.run.title}: {said}."
        table = differences_table(data, measure, gaps)
        return Figure.drawn(figure, f"difference-{file_name(measure.name).lower()}", alt, table)


def _row(
    data: PageData, run: ReportedRun, shown: Sequence[Measure], gaps: Gaps | None
) -> section.TableRow:
    """One run of the table: each measure with its interval, and its difference below."""
    cells: list[str | section.TableCell] = [run.title]
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
        text = measure.show(float(value)) if np.isfinite(value) else NONE
        cells.append(section.TableCell(text, small, bold))
    return section.TableRow(cells, run.css)


def differences_table(data: PageData, measure: Measure, gaps: Sequence[Difference]) -> pd.DataFrame:
    """One row for each run but the baseline."""
    at = {"measure": measure.title, "generation": data.last}
    rows = [
        {**at, "arm": run.title, "difference": x.value, "low": x.low, "high": x.high}
        | {"interval": x.method}
        for run, x in zip(data.runs[1:], gaps, strict=True)
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
