"""Pictures of a comparison: curves of all arms, one panel an arm, intervals of differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.chart import GREY, PAPER, chart, label_ends, panel
from imgcollapse.report.comparison import tables
from imgcollapse.report.comparison.aligned_runs import Arm, Arms
from imgcollapse.report.comparison.differences import Difference
from imgcollapse.report.comparison.measures import Measure
from imgcollapse.report.comparison.survival_data import SurvivalData
from imgcollapse.report.distances import series
from imgcollapse.report.figure import Figure, file_name
from imgcollapse.report.formatting import short
from imgcollapse.report.series import band, floor_band, interval_of_mean, legend, mean, span

NAME = 22
"""Letters of an arm's title beside a curve."""

MOST_BANDS = 3
"""Arms whose bands can be told apart where they overlap; more have bars at the end instead."""


def curves(arms: Arms, measure: Measure, floor: str | None = None) -> Figure:
    """The mean of every arm over generations, with its 95% interval over lineages.

    Args:
        arms: whose.
        measure: what is shown.
        floor: the metric whose real-against-real band is shown, if any.
    """
    with chart(measure.title) as (figure, axes):
        beside = {}
        if floor and (dotted := _floor(arms.baseline, floor, arms.last + 1)):
            floor_band(axes, *dotted, GREY)
            legend(axes, "dotted: real against real, 95%")
            beside = dict(zip(("floor_low", "floor_high"), dotted, strict=True))
        ends, numbers = [], []
        for arm in reversed(arms.all):  # the baseline lies on top
            values = measure.of(arm, arms.last + 1)
            average = mean(values)
            low, high = _interval(values, measure.most)
            if len(arms.all) <= MOST_BANDS:
                band(axes, low, high, arm.colour, 0.1)
            style = {"color": arm.colour, "marker": arm.marker, "markersize": 3.5}
            axes.plot(average, linewidth=1.8, **style)
            there = average[np.isfinite(average)]
            ends.append((float(there[-1]), short(arm.title, NAME), arm.colour))
            numbers.insert(0, tables.over_generations(arm, values, (low, high), **beside))
        _frame(axes, measure, arms.last)
        _bars(axes, arms, numbers)
        label_ends(axes, ends)
        alt = f"{measure.title} by generation: {_said(arms, measure)}."
        return Figure.drawn(figure, _name(measure), alt, pd.concat(numbers))


def panels(arms: Arms, measure: Measure) -> list[Figure]:
    """One panel for each arm on one scale: its lineages, their mean, and the others in grey."""
    found = {arm.title: measure.of(arm, arms.last + 1) for arm in arms.all}
    top = max(float(np.nanmax(values)) for values in found.values())
    drawn = []
    for arm in arms.all:
        with panel(short(arm.title, 30)) as (figure, axes):
            for values in found.values():
                axes.plot(mean(values), color=GREY, linewidth=0.8, alpha=0.6)
            values = found[arm.title]
            axes.plot(values.T, color=arm.colour, linewidth=0.6, alpha=0.5)
            low, high = _interval(values, measure.most)
            band(axes, low, high, arm.colour, 0.18)
            axes.plot(mean(values), color=arm.colour, linewidth=2)
            _frame(axes, measure, arms.last)
            axes.set_ylim(0, top * 1.06)
            value = mean(values)[arms.last]
            end = measure.show(float(value)) if np.isfinite(value) else "undefined"
            alt = f"{arm.title}: {measure.name} by generation, {end} in generation {arms.last}."
            table = tables.over_generations(arm, values, (low, high))
            drawn.append(Figure.drawn(figure, _name(measure), alt, table))
    return drawn


def survival(arms: Arms, lives: Sequence[SurvivalData]) -> Figure:
    """Kaplan-Meier curves of the rarest classes, those of all lineages of an arm together."""
    with chart("Rarest classes not yet extinct") as (figure, axes):
        ends, numbers = [], []
        for arm, of_arm in reversed(list(zip(arms.all, lives, strict=True))):
            curve = of_arm.curve()
            steps = {"step": "post", "color": arm.colour, "alpha": 0.1, "linewidth": 0}
            if len(arms.all) <= MOST_BANDS:
                axes.fill_between(curve.generation, curve.low, curve.high, **steps)
            # Every curve but the last event's step goes on to the last generation.
            x, y = [*curve.generation, arms.last], [*curve.alive, curve.alive[-1]]
            axes.step(x, y, where="post", color=arm.colour, linewidth=1.8)
            axes.plot(x, y, color=arm.colour, marker=arm.marker, markersize=3.5, linestyle="")
            ends.append((float(curve.alive[-1]), short(arm.title, NAME), arm.colour))
            numbers.insert(0, tables.survival(arm, of_arm))
        axes.set_ylim(0, 1.04)
        span(axes, arms.last)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        _bars(axes, arms, numbers)
        label_ends(axes, ends)
        lost = "; ".join(
            f"{arm.title} {int(of_arm.lost.sum())} of {len(of_arm.lost)} extinct"
            for arm, of_arm in zip(arms.all, lives, strict=True)
        )
        alt = f"Share of the rarest classes not yet extinct by generation: {lost}."
        return Figure.drawn(figure, "survival", alt, pd.concat(numbers))


def forest(arms: Arms, measure: Measure, gaps: Sequence[Difference]) -> Figure:
    """Differences of the arms from the baseline, one below the other, with 95% intervals.

    Args:
        arms: whose.
        measure: of what.
        gaps: one for each arm but the baseline.
    """
    with panel(measure.title.partition(":")[0]) as (figure, axes):
        figure.set_size_inches(3.4, 0.62 + 0.25 * len(gaps))
        height = figure.get_size_inches()[1]
        axes.set_position((0.36, 0.28 / height, 0.56, 0.25 * len(gaps) / height))
        figure.texts[0].set_position((0.005, 1 - 0.17 / height))
        axes.axvline(0, color=GREY, linewidth=1)
        for y, (arm, gap) in enumerate(zip(arms.all[1:], gaps, strict=True)):
            axes.annotate(
                short(arm.title, 20),
                (0, y),
                xycoords=("axes fraction", "data"),
                xytext=(-6, 0),
                textcoords="offset points",
                color=arm.colour,
                ha="right",
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
            if gap.value is None:
                continue
            if gap.low is not None and gap.high is not None:
                axes.plot([gap.low, gap.high], [y, y], color=arm.colour, linewidth=2, alpha=0.6)
            face = arm.colour if gap.sign else PAPER
            style = {"mec": arm.colour, "mfc": face, "ms": 5, "ls": "", "mew": 1.2, "zorder": 3}
            axes.plot(gap.value, y, marker=arm.marker, **style)
        axes.set_ylim(len(gaps) - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda gap, _: measure.change(gap)))
        said = (
            f"{arm.title} {'undefined' if gap.value is None else measure.change(gap.value)}"
            for arm, gap in zip(arms.all[1:], gaps, strict=True)
        )
        alt = f"{measure.title}, difference from {arms.baseline.title}: {'; '.join(said)}."
        table = tables.differences(measure, arms.all[1:], gaps, arms.last)
        return Figure.drawn(figure, f"difference-{_name(measure)}", alt, table)


def _name(measure: Measure) -> str:
    """Of its files."""
    return file_name(measure.name).lower()


def _bars(axes: Axes, arms: Arms, numbers: Sequence[pd.DataFrame]) -> None:
    """Intervals in the last generation beside the ends of the curves, where bands would overlap."""
    if len(arms.all) <= MOST_BANDS:
        return
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    step = 0.02 * (right - left)
    for i, (arm, table) in enumerate(zip(arms.all, numbers, strict=True)):
        low, high = table.iloc[-1][["low", "high"]]
        if np.isfinite([low, high]).all():
            axes.vlines(right + i * step, low, high, color=arm.colour, linewidth=2.2, alpha=0.7)
            bottom, top = min(bottom, low), max(top, high)
    axes.set_xlim(left, right + len(arms.all) * step)
    axes.set_ylim(bottom, top)


def _interval(values: Cube, most: float) -> tuple[Cube, Cube]:
    """Of the mean, kept where the measure can be; NaN for a single lineage."""
    low, high = interval_of_mean(values)
    least = 0 if np.nanmin(values) >= 0 else -np.inf
    return low.clip(min=least), high.clip(max=most)


def _frame(axes: Axes, measure: Measure, last: int) -> None:
    if measure.whole and np.isfinite(measure.most):
        axes.set_ylim(0, measure.most * 1.03)
    elif axes.dataLim.ymin >= 0:
        axes.set_ylim(bottom=0)
    span(axes, last)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: measure.show(value)))


def _floor(arm: Arm, metric: str, generations: int) -> tuple[Cube, Cube] | None:
    ends = [series(arm.metrics, f"{metric}_floor", end, generations) for end in ("low", "high")]
    low, high = ends
    return None if low is None or high is None else (mean(low), mean(high))


def _said(arms: Arms, measure: Measure) -> str:
    ends = ((arm, mean(measure.of(arm, arms.last + 1))[arms.last]) for arm in arms.all)
    return (
        ", ".join(
            f"{arm.title} {measure.show(float(end)) if np.isfinite(end) else 'undefined'}"
            for arm, end in ends
        )
        + f" in generation {arms.last}"
    )
