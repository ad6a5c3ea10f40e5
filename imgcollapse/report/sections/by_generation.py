"""Section "By generation": the measures of all runs over generations, rare classes first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from imgcollapse.report import charts, measures
from imgcollapse.report.arrays import FloatArray, interval_of_mean, mean, series, tidy
from imgcollapse.report.charts import GREY, Figure
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import short
from imgcollapse.report.measures import Measure, SurvivalData
from imgcollapse.report.section import Block, Charts, Group, Panels, Section, Text

NAME = 22
"""Letters of a run's title beside a curve."""
MOST_BANDS = 3
"""Runs whose bands are distinguishable where they overlap; more have bars at the end instead."""


class ByGeneration(Section):
    """The measures that runs are compared by, over generations."""

    name, runs = "curves", "several"
    heading = "By generation"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Panels and charts of the rarest classes, then a chart for each other measure."""
        shown = measures.measures(data)
        several = max(len(run.lineages) for run in data.runs) > 1
        drawn = (
            "Bold is the mean of its lineages with its 95% interval, thin is each of them; gray, "
            "the means of the other arms."
            if several
            else "Gray: the other arms."
        )
        kept = (
            "How much of the rarest classes’ real share is kept, by generation: for each class at "
            "most its real share counts, so that one which grows does not hide another’s loss; "
            f"sampling alone leaves somewhat less than 100%. {drawn}"
        )
        extinct = (
            "Not yet extinct: every rare class in every lineage is followed up to the generation "
            "in which the census first calls it extinct (Kaplan–Meier, with 95% interval). Classes "
            "of one lineage share a model, so intervals and log-rank tests, which take them as "
            "independent, are somewhat too narrow."
        )
        intervals = "One lineage an arm: no interval over lineages can be given."
        if several:
            intervals = "Mean over lineages with its 95% interval."
            if len(data.runs) > MOST_BANDS:
                intervals = (
                    "Mean over lineages; at the right end, its 95% interval in generation "
                    f"{data.last}. Those of all generations are in the CSV."
                )
        first = (
            f"{intervals} The first model learns from the same kind of real images in every arm; "
            "arms part from generation 2 on."
        )
        panels = arm_panels(data, shown[0])
        kept_chart, *others = (measure_chart(data, measure) for measure in shown)
        survival = survival_chart(data, measures.survival_data(data))
        rarest = [
            Text(kept),
            Panels(panels, charts.side_by_side("kept-by-arm", panels)),
            Charts([kept_chart, survival]),
            Text(extinct),
        ]
        return [
            Group("The rarest classes", rarest),
            Group("All measures", [Text(first), Charts(others)]),
        ]


def measure_chart(data: PageData, measure: Measure) -> Figure:
    """The mean of every run over generations, with its 95% interval over lineages."""
    with charts.chart(measure.title) as (figure, axes):
        beside = {}
        if dotted := _floor(data.run, measure.floor, data.last + 1):
            charts.floor_band(axes, *dotted, GREY)
            charts.legend(axes, "dotted: real against real, 95%")
            beside = dict(zip(("floor_low", "floor_high"), dotted, strict=True))
        ends, numbers = [], []
        for run in reversed(data.runs):  # the baseline lies on top
            values = measure.of(run, data.last + 1)
            average = mean(values)
            low, high = _interval(values, measure.limits)
            if len(data.runs) <= MOST_BANDS:
                charts.band(axes, low, high, run.color, 0.1)
            style = {"color": run.color, "marker": run.marker, "markersize": 3.5}
            axes.plot(average, linewidth=1.8, **style)
            there = average[np.isfinite(average)]
            ends.append((float(there[-1]), short(run.title, NAME), run.color))
            numbers.insert(0, over_generations(run, values, (low, high), **beside))
        _frame(axes, measure, data.last)
        _bars(axes, data, numbers)
        charts.label_ends(axes, ends)
        said = ", ".join(f"{run.title} {_at_end(measure, run, data.last)}" for run in data.runs)
        alt = f"{measure.title} by generation: {said} in generation {data.last}."
        return Figure.drawn(figure, charts.file_name(measure.name).lower(), alt, pd.concat(numbers))


def arm_panels(data: PageData, measure: Measure) -> list[Figure]:
    """One panel for each arm on one scale: its lineages, their mean, and the others in gray."""
    found = {run.title: measure.of(run, data.last + 1) for run in data.runs}
    top = max(float(np.nanmax(values)) for values in found.values())
    drawn = []
    for run in data.runs:
        with charts.panel(short(run.title, 30)) as (figure, axes):
            for values in found.values():
                axes.plot(mean(values), color=GREY, linewidth=0.8, alpha=0.6)
            values = found[run.title]
            axes.plot(values.T, color=run.color, linewidth=0.6, alpha=0.5)
            low, high = _interval(values, measure.limits)
            charts.band(axes, low, high, run.color, 0.18)
            axes.plot(mean(values), color=run.color, linewidth=2)
            _frame(axes, measure, data.last)
            axes.set_ylim(0, top * 1.06)
            end = f"{_at_end(measure, run, data.last)} in generation {data.last}"
            alt = f"{run.title}: {measure.name} by generation, {end}."
            table = over_generations(run, values, (low, high))
            drawn.append(Figure.drawn(figure, charts.file_name(measure.name).lower(), alt, table))
    return drawn


def survival_chart(data: PageData, survival: Sequence[SurvivalData]) -> Figure:
    """Kaplan-Meier curves of the rarest classes, those of all lineages of an arm together."""
    with charts.chart("Rarest classes not yet extinct") as (figure, axes):
        ends, numbers = [], []
        for run, of_arm in reversed(list(zip(data.runs, survival, strict=True))):
            curve = of_arm.curve()
            if len(data.runs) <= MOST_BANDS:
                style = {"step": "post", "color": run.color, "alpha": 0.1, "linewidth": 0}
                axes.fill_between(curve.generation, curve.low, curve.high, **style)
            # Every curve but the last event's step goes on to the last generation.
            x, y = [*curve.generation, data.last], [*curve.alive, curve.alive[-1]]
            axes.step(x, y, where="post", color=run.color, linewidth=1.8)
            axes.plot(x, y, color=run.color, marker=run.marker, markersize=3.5, linestyle="")
            ends.append((float(curve.alive[-1]), short(run.title, NAME), run.color))
            steps = {"alive": curve.alive, "low": curve.low, "high": curve.high}
            table = pd.DataFrame({"arm": run.title, "generation": curve.generation, **steps})
            numbers.insert(0, table)
        axes.set_ylim(0, 1.04)
        charts.span(axes, data.last)
        axes.yaxis.set_major_formatter("{x:.0%}")
        _bars(axes, data, numbers)
        charts.label_ends(axes, ends)
        lost = "; ".join(
            f"{run.title} {int(of_arm.lost.sum())} of {len(of_arm.lost)} extinct"
            for run, of_arm in zip(data.runs, survival, strict=True)
        )
        alt = f"Share of the rarest classes not yet extinct by generation: {lost}."
        return Figure.drawn(figure, "survival", alt, pd.concat(numbers))


def over_generations(
    run: ReportedRun,
    values: FloatArray,
    ends: tuple[FloatArray, FloatArray],
    **beside: FloatArray | None,
) -> pd.DataFrame:
    """A measure by lineage and generation, float64[L, G]; only the mean has an interval, `ends`."""
    nothing = np.full_like(values, np.nan)
    table = tidy(run.lineages, "value", values, nothing, nothing, **beside)
    if "lineage" in table:  # kept where the measure can be, as the band is drawn
        means = table["lineage"] == "mean"
        table.loc[means, "low"], table.loc[means, "high"] = ends
    else:
        table.insert(0, "lineage", "".join(map(str, run.lineages)))
    table.insert(0, "arm", run.title)
    return table


def _bars(axes: Axes, data: PageData, numbers: Sequence[pd.DataFrame]) -> None:
    """Intervals in the last generation beside the ends of the curves, where bands would overlap."""
    if len(data.runs) <= MOST_BANDS:
        return
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    step = 0.02 * (right - left)
    for i, (run, table) in enumerate(zip(data.runs, numbers, strict=True)):
        low, high = table.iloc[-1][["low", "high"]]
        if np.isfinite([low, high]).all():
            axes.vlines(right + i * step, low, high, color=run.color, linewidth=2.2, alpha=0.7)
            bottom, top = min(bottom, low), max(top, high)
    axes.set_xlim(left, right + len(data.runs) * step)
    axes.set_ylim(bottom, top)


def _interval(values: FloatArray, limits: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Of the mean, kept where the measure can be; NaN for a single lineage."""
    low, high = interval_of_mean(values)
    return low.clip(min=limits[0]), high.clip(max=limits[1])


def _frame(axes: Axes, measure: Measure, last: int) -> None:
    if measure.full_axis and np.isfinite(measure.limits[1]):
        axes.set_ylim(measure.limits[0], measure.limits[1] * 1.03)
    elif axes.dataLim.ymin >= 0:
        axes.set_ylim(bottom=0)
    if measure.share and axes.get_ylim()[1] < measures.SMALLEST_SHARE:
        axes.set_ylim(0, measures.SMALLEST_SHARE)
    charts.span(axes, last)
    measure.label_ticks(axes.yaxis)


def _floor(run: ReportedRun, metric: str, generations: int) -> tuple[FloatArray, FloatArray] | None:
    if not metric:
        return None
    low, high = (
        series(run.metrics, f"{metric}_floor", end, generations) for end in ("low", "high")
    )
    return None if low is None or high is None else (mean(low), mean(high))


def _at_end(measure: Measure, run: ReportedRun, last: int) -> str:
    """The mean over lineages in the last generation, as text."""
    end = mean(measure.of(run, last + 1))[last]
    return measure.show(float(end)) if np.isfinite(end) else "undefined"
