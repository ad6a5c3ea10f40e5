"""Diversity and N_e/n over generations, beside what chance alone gives."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from imgcollapse.drift import against_chance, heterozygosity
from imgcollapse.report.chart import GREY, chart, to_svg
from imgcollapse.report.counts import Counts
from imgcollapse.report.series import ACCENT, band, chance_band, legend, lines, mean, span
from imgcollapse.report.verdict import Verdict
from imgcollapse.report.words import ratio

SURE = 1.96
CHANCE = "dashed: chance alone, 95% of lineages"


def diversity(counts: Counts, verdict: Verdict | None) -> str:
    """1 - sum p^2 by generation."""
    values, error = counts.heterozygosity, counts.heterozygosity_error
    with chart("Heterozygosity: chance that two samples differ", labelled=False) as (figure, axes):
        if verdict:
            beside = against_chance(heterozygosity, verdict.null.expected, verdict.null)
            chance_band(axes, beside.low, beside.high)
            legend(axes, CHANCE)
        lines(axes, values, (values - SURE * error).clip(0), (values + SURE * error).clip(max=1))
        axes.set_ylim(0, 1)
        span(axes, counts.last)
        return to_svg(figure, "Heterozygosity by generation, with the band of chance alone.")


def classes_detected(counts: Counts, verdict: Verdict | None) -> str:
    """How many classes are detected, by generation; chance is held to the same."""
    seen = counts.detected.sum(axis=2).astype(np.float64)
    seen[~np.isfinite(counts.frequency).all(axis=2)] = np.nan
    with chart("Classes detected", labelled=False) as (figure, axes):
        if verdict:
            limit = mean(counts.limit)[: verdict.generations + 1]
            beside = against_chance(
                lambda x: (x >= limit).sum(axis=-1).astype(np.float64),
                verdict.null.expected,
                verdict.null,
            )
            chance_band(axes, beside.low, beside.high)
            legend(axes, CHANCE)
        nothing = np.full_like(seen, np.nan)  # one count has no interval of its own
        lines(axes, seen, nothing, nothing)
        axes.set_ylim(0, len(counts.classes) * 1.08)
        span(axes, counts.last)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axhline(len(counts.classes), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        what = f"Number of the {len(counts.classes)} classes detected, by generation"
        return to_svg(figure, f"{what}, with the band of chance alone.")


def inbreeding(verdict: Verdict) -> str | None:
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
        what = f"{title}, by generation, with 95% intervals"
        return to_svg(figure, f"{what}; a perfect learner has 1.")
