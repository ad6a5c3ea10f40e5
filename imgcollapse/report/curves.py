"""Diversity and N_e/n over generations, beside what chance alone gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from imgcollapse.drift import DiversityBand, against_chance, heterozygosity
from imgcollapse.report.census_arrays import CensusArrays, Cube
from imgcollapse.report.chart import GREY, chart
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.figure import Figure
from imgcollapse.report.formatting import ratio
from imgcollapse.report.long_tables import padded, tidy
from imgcollapse.report.series import ACCENT, band, chance_band, legend, lines, mean, span

SURE = 1.96
CHANCE = "dashed: chance alone, 95% of lineages"


def diversity(counts: CensusArrays, verdict: DriftTest | None) -> Figure:
    """1 - sum p^2 by generation."""
    values, error = counts.heterozygosity, counts.heterozygosity_error
    low, high = (values - SURE * error).clip(0), (values + SURE * error).clip(max=1)
    chance = None
    with chart("Heterozygosity: chance that two samples differ", labelled=False) as (figure, axes):
        if verdict:
            chance = against_chance(heterozygosity, verdict.null.expected, verdict.null)
            chance_band(axes, chance.low, chance.high)
            legend(axes, CHANCE)
        lines(axes, values, low, high)
        axes.set_ylim(0, 1)
        span(axes, counts.last)
        said = "Heterozygosity, the chance that two samples are of different classes"
        alt = f"{said}: {_course(values, '.2f')}{_by_chance(chance, '.2f')}."
        table = tidy(
            counts.lineages, "heterozygosity", values, low, high, **_beside(counts, chance)
        )
        return Figure.drawn(figure, "heterozygosity", alt, table)


def classes_detected(counts: CensusArrays, verdict: DriftTest | None) -> Figure:
    """How many classes are detected, by generation; chance is held to the same."""
    seen = counts.detected.sum(axis=2).astype(np.float64)
    seen[~np.isfinite(counts.frequency).all(axis=2)] = np.nan
    chance = None
    with chart("Classes detected", labelled=False) as (figure, axes):
        if verdict:
            limit = mean(counts.limit)[: verdict.generations + 1]
            chance = against_chance(
                lambda x: (x >= limit).sum(axis=-1).astype(np.float64),
                verdict.null.expected,
                verdict.null,
            )
            chance_band(axes, chance.low, chance.high)
            legend(axes, CHANCE)
        nothing = np.full_like(seen, np.nan)  # one count has no interval of its own
        lines(axes, seen, nothing, nothing)
        axes.set_ylim(0, len(counts.classes) * 1.08)
        span(axes, counts.last)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axhline(len(counts.classes), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        said = f"Number of the {len(counts.classes)} classes detected"
        alt = f"{said}: {_course(seen, '.3g')}{_by_chance(chance, '.3g')}."
        table = tidy(counts.lineages, "detected", seen, **_beside(counts, chance))
        return Figure.drawn(figure, "classes-detected", alt, table)


def inbreeding(verdict: DriftTest) -> Figure | None:
    """N_e/n by generation with its interval, on a log scale, and of all generations together.

    Returns:
        None where it is nowhere defined.
    """
    sizes = [verdict.size.pooled, *verdict.size.generations]
    found = np.array([[s.value, s.low, s.high] for s in sizes], dtype=np.float64)
    value, low, high = found.T
    x = np.flatnonzero(np.isfinite(value))
    x = x[x > 0]  # row 0 is of all generations
    if not len(x):
        return None
    title = "Effective over actual number of images, N_e/n"
    with chart(title, labelled=False) as (figure, axes):
        axes.set_yscale("log")
        axes.axhline(1, color=GREY, linewidth=1, linestyle=(0, (4, 2)))
        if np.isfinite(value[0]):
            everywhere = np.ones(verdict.generations + 1)
            band(axes, low[0] * everywhere, high[0] * everywhere, ACCENT, 0.15)
            said = f"{ratio(value[0])} ({ratio(low[0])} to {ratio(high[0])})"
            legend(axes, f"band: all generations, {said}")
        axes.vlines(x, low[x], high[x], color=ACCENT, alpha=0.5, linewidth=2)
        axes.plot(x, value[x], color=ACCENT, marker="o", markersize=4, linestyle="")
        least, most = axes.get_ylim()
        axes.set_ylim(min(least, 0.3), max(most, 3.2))
        span(axes, verdict.generations)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        alt = f"{title}: {_size_in_words(verdict)}; a perfect learner has 1."
        table = pd.DataFrame({"generation": ["all", *range(1, len(value))], "ratio": value})
        return Figure.drawn(figure, "ne-over-n", alt, table.assign(low=low, high=high))


def _size_in_words(verdict: DriftTest) -> str:
    pooled = verdict.size.pooled
    if pooled.value is None:
        return "defined for single generations only"
    between = (
        ""
        if pooled.low is None or pooled.high is None
        else f" (95% interval {ratio(pooled.low)} to {ratio(pooled.high)})"
    )
    return f"{ratio(pooled.value)} over all generations{between}"


def _course(values: Cube, form: str) -> str:
    """From the first generation to the last, in words; of lineages their mean."""
    average = mean(values)
    first, last = (format(x, form) if np.isfinite(x) else "undefined" for x in average[[0, -1]])
    of = "in the mean of the lineages " if len(values) > 1 else ""
    if len(average) == 1:
        return f"{of}{first} in the real images"
    return f"{of}{first} in the real images, {last} in generation {len(average) - 1}"


def _by_chance(chance: DiversityBand | None, form: str) -> str:
    if chance is None:
        return ""
    low, high = (format(end[-1], form) for end in (chance.low, chance.high))
    return f", where chance alone leaves 95% of lineages between {low} and {high}"


def _beside(counts: CensusArrays, chance: DiversityBand | None) -> dict[str, Cube]:
    """Columns for the band of chance."""
    if chance is None:
        return {}
    ends = {"chance_low": chance.low, "chance_high": chance.high}
    return {name: padded(end, counts.last + 1) for name, end in ends.items()}
