"""Section "Curves": class shares, diversity and N_e/n over generations, beside drift alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.drift import DiversityBand, against_chance, heterozygosity
from imgcollapse.report import charts
from imgcollapse.report.arrays import CensusArrays, FloatArray, mean, padded, tidy
from imgcollapse.report.charts import ACCENT, GREY, Figure, palette
from imgcollapse.report.data import PageData
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.formatting import listed, percent, ratio, short
from imgcollapse.report.grid_layout import class_note, shown_classes
from imgcollapse.report.section import Block, Charts, Section, Text

SURE = 1.96
CHANCE = "dashed: drift alone, 95% of lineages"


class Curves(Section):
    """Class shares, diversity and effective size over generations."""

    name, runs = "curves", "one"
    heading = "Curves"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Five charts, or four where N_e/n is undefined."""
        census, test = data.run.census, data.run.drift_test
        lineages = len(census.lineages)
        of = f" of the mean; bold is the mean of {lineages} lineages, thin is each of them"
        said = (
            f"Blue bands are 95% intervals{of if lineages > 1 else ''}. A cross marks a generation "
            f"in which a class is not detected{' in any lineage' if lineages > 1 else ''}: its "
            "interval includes 0."
        )
        if test:
            said += (
                " N_e/n: a perfect learner has 1; below, the shares move as if the model had seen "
                "fewer images. The oracle's own scatter counts as movement here, so it is too low "
                "rather than too high."
            )
        drawn = [
            frequencies(census),
            stacked(census),
            diversity(census, test),
            classes_detected(census, test),
            effective_size(test) if test else None,
        ]
        return [Text(said), Charts([figure for figure in drawn if figure])]


def frequencies(census: CensusArrays) -> Figure:
    """Share of each class among recognized samples, on a log scale, with its interval.

    Generations in which no lineage has the class detected are crosses in the strip at the
    bottom. Of several lineages: the mean, and each of them as a thin line.
    """
    colors = palette(len(census.classes))
    labels = shown_classes(len(census.classes))
    average, limit = mean(census.frequency), mean(census.limit)
    floor = float(np.nanmin(limit)) if np.isfinite(limit).any() else 0.1
    with charts.chart("Class shares, log scale") as (figure, axes):
        axes.set_yscale("log")
        missed = census.detected.sum(axis=0) == 0
        vanished = [k for k in labels if missed[:, k].any()]
        # A row of crosses at the bottom for each class that is somewhere not detected.
        strip = floor / 1.5
        bottom = strip / 1.3 ** max(len(vanished), 1)
        axes.set_ylim(bottom, 1.25)
        if vanished:
            axes.axhspan(bottom, strip * 1.15, color=charts.FAINT, alpha=0.35, linewidth=0)
            middle = strip / 1.3 ** ((len(vanished) - 1) / 2)
            charts.caption(axes, "not\ndetected", middle, linespacing=0.95)
        ends = []
        for k in labels:
            shares = np.where(census.detected[:, :, k], census.frequency[:, :, k], np.nan)
            if len(shares) > 1:
                axes.plot(shares.T, color=colors[k], linewidth=0.5, alpha=0.35)
            else:
                low = np.where(np.isfinite(shares[0]), census.low[0, :, k], np.nan)
                charts.band(axes, low.clip(strip * 1.15), census.high[0, :, k], colors[k], 0.13)
            line = np.where(missed[:, k], np.nan, average[:, k].clip(strip * 1.15))
            axes.plot(line, color=colors[k], linewidth=1.8, marker="o", markersize=2.5)
            end = line[census.last]
            if k in vanished:
                row = strip / 1.3 ** vanished.index(k)
                missing = np.flatnonzero(missed[:, k])
                style = {"color": colors[k], "marker": "x", "markersize": 4, "linestyle": ""}
                axes.plot(missing, np.full(len(missing), row), **style)
                end = end if np.isfinite(end) else row
            name = short(census.classes[k], 20)
            ends.append((float(end) if np.isfinite(end) else floor, name, colors[k]))
        charts.span(axes, census.last)
        charts.label_ends(axes, ends)
        charts.share_ticks(axes, strip * 1.15)
        table = pd.concat([shares_table(census, k) for k in range(len(census.classes))])
        return Figure.drawn(figure, "class-shares", _shares_in_words(census), table)


def stacked(census: CensusArrays) -> Figure:
    """Class shares laid on top of each other, commonest at the bottom, unrecognized on top."""
    known = np.nan_to_num(census.frequency) * (census.recognized / census.n)[:, :, None]
    unknown = (census.unrecognized / census.n)[:, :, None]
    average = np.concatenate([known, unknown], axis=2).mean(axis=0)
    colors = [*palette(len(census.classes)), GREY]
    with charts.chart("Class shares, stacked") as (figure, axes):
        generations = np.arange(len(average))
        if len(average) == 1:  # an area needs two edges
            generations, average = np.array([0, 1]), average.repeat(2, axis=0)
            axes.set_xticks([0])
        edge = 0.4 if len(colors) <= 20 else 0
        style = {"edgecolor": charts.PAPER, "linewidth": edge}
        axes.stackplot(generations, average.T, colors=colors, **style)
        axes.set_ylim(0, 1)
        axes.set_xlim(generations[0], generations[-1])
        axes.yaxis.set_major_formatter("{x:.0%}")
        centers = average[-1].cumsum() - average[-1] / 2
        names = [*(short(name, 20) for name in census.classes), UNRECOGNIZED]
        ends = [
            (float(center), name, color)
            for center, name, color, share in zip(centers, names, colors, average[-1], strict=True)
            if share > 0.03 and share >= np.sort(average[-1])[-8:].min()
        ]
        charts.label_ends(axes, ends)
        first, last = (percent(float(average[g, -1])) for g in (0, -1))
        then = f", {last} of generation {census.last}" if census.last else ""
        alt = (
            f"Class shares laid on each other by generation. {_commonest(census)} "
            f"Unrecognized: {first} of the real images{then}."
        )
        places = {
            "generation": np.repeat(np.arange(census.last + 1), len(colors)),
            "class": [*census.classes, UNRECOGNIZED] * (census.last + 1),
        }
        table = pd.DataFrame({**places, "share": average[: census.last + 1].ravel()})
        return Figure.drawn(figure, "class-shares-stacked", alt, table)


def diversity(census: CensusArrays, test: DriftTest | None) -> Figure:
    """1 - sum p^2 by generation."""
    values, error = census.heterozygosity, census.heterozygosity_error
    ends = (values - SURE * error).clip(0), (values + SURE * error).clip(max=1)
    title = "Heterozygosity: chance that two samples differ"
    with charts.chart(title, labeled=False) as (figure, axes):
        chance = _chance(axes, test, heterozygosity)
        charts.lines(axes, values, *ends)
        axes.set_ylim(0, 1)
        charts.span(axes, census.last)
        said = "Heterozygosity, the chance that two samples are of different classes"
        alt = f"{said}: {_course(values, '.2f')}{_by_chance(chance, '.2f')}."
        beside = _beside(census, chance)
        table = tidy(census.lineages, "heterozygosity", values, *ends, **beside)
        return Figure.drawn(figure, "heterozygosity", alt, table)


def classes_detected(census: CensusArrays, test: DriftTest | None) -> Figure:
    """Number of classes detected, by generation; under drift alone it is counted alike."""
    seen, classes = census.detected.sum(axis=2).astype(np.float64), len(census.classes)
    seen[~np.isfinite(census.frequency).all(axis=2)] = np.nan
    with charts.chart("Classes detected", labeled=False) as (figure, axes):
        chance = _chance(axes, test, lambda x: census.detects(x).sum(axis=-1).astype(np.float64))
        nothing = np.full_like(seen, np.nan)  # one count has no interval of its own
        charts.lines(axes, seen, nothing, nothing)
        axes.set_ylim(0, classes * 1.08)
        charts.span(axes, census.last)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.axhline(classes, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        said = f"Number of the {classes} classes detected"
        alt = f"{said}: {_course(seen, '.3g')}{_by_chance(chance, '.3g')}."
        table = tidy(census.lineages, "detected", seen, **_beside(census, chance))
        return Figure.drawn(figure, "classes-detected", alt, table)


def _chance(
    axes: Axes, test: DriftTest | None, of: Callable[[FloatArray], FloatArray]
) -> DiversityBand | None:
    """Draw the band of a measure of shares float64[..., G, K] under drift alone."""
    if test is None:
        return None
    chance = against_chance(of, test.null.expected, test.null)
    charts.chance_band(axes, chance.low, chance.high)
    charts.legend(axes, CHANCE)
    return chance


def effective_size(test: DriftTest) -> Figure | None:
    """N_e/n by generation and of all together, on a log scale; None where nowhere defined."""
    sizes = [test.size.pooled, *test.size.generations]
    found = np.array([[s.value, s.low, s.high] for s in sizes], dtype=np.float64)
    value, low, high = found.T
    x = np.flatnonzero(np.isfinite(value))
    x = x[x > 0]  # row 0 is of all generations
    if not len(x):
        return None
    title = "Effective over actual number of images, N_e/n"
    with charts.chart(title, labeled=False) as (figure, axes):
        axes.set_yscale("log")
        axes.axhline(1, color=GREY, linewidth=1, linestyle=(0, (4, 2)))
        if np.isfinite(value[0]):
            everywhere = np.ones(test.generations + 1)
            charts.band(axes, low[0] * everywhere, high[0] * everywhere, ACCENT, 0.15)
            said = f"{ratio(value[0])} ({ratio(low[0])} to {ratio(high[0])})"
            charts.legend(axes, f"band: all generations, {said}")
        axes.vlines(x, low[x], high[x], color=ACCENT, alpha=0.5, linewidth=2)
        axes.plot(x, value[x], color=ACCENT, marker="o", markersize=4, linestyle="")
        least, most = axes.get_ylim()
        axes.set_ylim(min(least, 0.3), max(most, 3.2))
        charts.span(axes, test.generations)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=12))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        alt = f"{title}: {_size_in_words(test)}; a perfect learner has 1."
        table = pd.DataFrame({"generation": ["all", *range(1, len(value))], "ratio": value})
        return Figure.drawn(figure, "ne-over-n", alt, table.assign(low=low, high=high))


def shares_table(census: CensusArrays, k: int, **beside: FloatArray) -> pd.DataFrame:
    """The plotted numbers of class k, under the census's names."""
    low, high = census.low[:, :, k], census.high[:, :, k]
    beside = {"detection_limit": mean(census.limit)[:, k], **beside}
    table = tidy(census.lineages, "frequency", census.frequency[:, :, k], low, high, **beside)
    table.insert(list(table).index("frequency"), "class", census.classes[k])
    return table


def _shares_in_words(census: CensusArrays) -> str:
    """Sentence on the change of shares from the first generation to the last."""
    gone = [census.classes[k] for k in np.flatnonzero(census.gone.all(axis=0))[::-1]]
    below = f" Not detected by then: {listed(gone)}." if gone else ""
    note = class_note(len(census.classes))
    shown = f" Shown are {note}." if note else ""
    return f"Class shares by generation, log scale. {_commonest(census)}{below}{shown}"


def _commonest(census: CensusArrays) -> str:
    share = mean(census.frequency)[:, 0]
    now = percent(float(share[-1])) if np.isfinite(share[-1]) else "an undefined share"
    return (
        f"{census.classes[0]}, the commonest class, goes from {percent(float(share[0]))} of the "
        f"real images to {now} of generation {census.last}."
        if census.last
        else f"{census.classes[0]}, the commonest class, is {now} of the real images."
    )


def _size_in_words(test: DriftTest) -> str:
    pooled = test.size.pooled
    if pooled.value is None:
        return "defined for single generations only"
    between = (
        ""
        if pooled.low is None or pooled.high is None
        else f" (95% interval {ratio(pooled.low)} to {ratio(pooled.high)})"
    )
    return f"{ratio(pooled.value)} over all generations{between}"


def _course(values: FloatArray, form: str) -> str:
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
    return f", where drift alone leaves 95% of lineages between {low} and {high}"


def _beside(census: CensusArrays, chance: DiversityBand | None) -> dict[str, FloatArray]:
    """Columns for the band of drift alone."""
    if chance is None:
        return {}
    ends = {"chance_low": chance.low, "chance_high": chance.high}
    return {name: padded(end, census.last + 1) for name, end in ends.items()}
