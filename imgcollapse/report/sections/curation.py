"""Section "What the filters kept": of each class, beside a choice that is blind to the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray
from scipy.signal import convolve
from scipy.stats import hypergeom

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.curation import SHOWN_METRICS
from imgcollapse.report import charts, section
from imgcollapse.report.arrays import FloatArray, with_lineage
from imgcollapse.report.charts import GREY, Figure, palette
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import NONE, listed, percent, ratio, short
from imgcollapse.report.grid_layout import class_note, shown_classes
from imgcollapse.report.section import Column, Table, TableRow, Text

TAIL = 1e-12
"""Probability that is cut off each tail of a sum's distribution."""

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = tuple(
    (name, title, percent if spec == "percent" else ("{:" + spec + "}").format)
    for name, title, spec in SHOWN_METRICS
)
"""The filters' own metrics, with the heads of their columns and the format of their values."""


class Curation(section.Section):
    """The images that filters kept of each class, all generations together, and the watermark."""

    name, runs = "kept", "one"
    heading = "What the filters kept"

    def blocks(self, data: PageData) -> Sequence[section.Block]:
        """Sentences, a chart and tables; none where a study has no filters."""
        run, census = data.run.run, data.run.census
        table = with_lineage(run.curation)
        if table.empty:
            return []
        table = table.loc[table["lineage"].isin(census.lineages)]
        real = CurationArrays.of(table.loc[table["generation"] == 0], census.classes)
        drawn = table.loc[table["generation"] > 0]
        samples = None if drawn.empty else CurationArrays.of(drawn, census.classes)
        kinds = [part["kind"] for part in run.record["study"].get("curation", [])]
        found: list[section.Block] = [
            Text(" ".join(sentences(samples, real, census.classes, kinds)), style="")
        ]
        if samples and samples.chooses:
            lineages = ", in all lineages" if len(census.lineages) > 1 else ""
            said = (
                "Classes as the oracle names them, of the samples of generations 1 to "
                f"{table['generation'].max()} together{lineages}. Gray: the range of a choice of "
                "as many that is blind to the class, in 95% of cases; filled points lie outside. "
                "Of twenty classes one does so by chance."
            )
            note = class_note(len(census.classes))
            said += f" Shown are {note}." if note else ""
            found += [Text(said), section.Charts([ratios(samples, census.classes)])]
            found.append(section.Details("As a table", [_table(samples, census.classes)]))
        if watermark := watermark_table(data.run.metrics, census.last):
            several = len(census.lineages) > 1
            said = (
                f"In brackets {'the range over lineages' if several else '95% intervals'}. Found "
                "before marking: the share of a model's output that bears the mark though nobody "
                "put it there, which says whether the model has learned to draw it "
                "(radioactivity); p is the rank of the key among keys that nobody used."
            )
            found += [watermark, Text(said)]
        return found


@dataclass(frozen=True)
class CurationArrays:
    """Samples by class, float64[K+1], those that are like no real image in the last place.

    Attributes:
        n: how many were drawn.
        kept: how many of these entered the pool.
        expected: how many a blind choice of as many keeps in the mean.
        low: lower end of its central 95%.
        high: upper end.
        relabelled: how many of those kept bear a corrected label.
    """

    n: FloatArray
    kept: FloatArray
    expected: FloatArray
    low: FloatArray
    high: FloatArray
    relabelled: FloatArray

    @classmethod
    def of(cls, table: pd.DataFrame, classes: tuple[str, ...]) -> CurationArrays:
        """Add up rows of curation.csv; choices in different generations are independent."""
        places = ["lineage", "generation"]
        cubes = {
            column: table.pivot(index=places, columns="class", values=column)[
                [*classes, UNRECOGNIZED]
            ].to_numpy(np.int64)
            for column in ("n", "kept", "relabelled")
        }
        n, kept = cubes["n"], cubes["kept"]
        total, chosen = n.sum(axis=1), kept.sum(axis=1)
        ends = [blind(total, of_class, chosen) for of_class in n.T]
        low, high = np.array(ends, dtype=np.float64).T
        shares = chosen / np.maximum(total, 1)
        sums = {name: cube.sum(axis=0).astype(np.float64) for name, cube in cubes.items()}
        return cls(**sums, expected=shares @ n, low=low, high=high)

    @property
    def chooses(self) -> bool:
        """Whether there is a choice to judge: something was kept, and something was not."""
        return 0 < self.kept.sum() < self.n.sum()


def blind(
    total: NDArray[np.int64], of_class: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[int, int]:
    """The central 95% of how many images of a class blind choices keep, all generations together.

    Of generation g's total_g images, of_class_g of the class, chosen_g are kept (int64[G] each):
    hypergeometric, and their sum has the convolution of these laws.
    """
    law, first = np.ones(1), 0
    for parameters in zip(total, of_class, chosen, strict=True):
        low, high = (int(end) for end in hypergeom.interval(1 - 2 * TAIL, *parameters))
        law = convolve(law, hypergeom.pmf(np.arange(low, high + 1), *parameters))
        first += low
        there = np.flatnonzero(law > TAIL)
        law, first = law[there[0] : there[-1] + 1], first + int(there[0])
    low, high = np.searchsorted(np.cumsum(law), (0.025, 0.975))
    return first + int(low), first + min(int(high), len(law) - 1)


def sentences(
    samples: CurationArrays | None, real: CurationArrays, classes: tuple[str, ...], kinds: list[str]
) -> list[str]:
    """The filters' effect on the classes, and on the real images."""
    named = f"The filter{'s' * (len(kinds) > 1)} ({', '.join(kinds)})" if kinds else "The filters"
    keep = "keep" if len(kinds) != 1 else "keeps"
    said = []
    if samples is None:
        said.append("No samples have been judged yet.")
    elif not samples.chooses:
        what = "none" if not samples.kept.any() else "all"
        said.append(f"{named} {keep} {what} of the {samples.n.sum():,.0f} samples.")
    else:
        order = [*reversed(range(len(classes))), UNKNOWN]  # the rarest first
        names = [*classes, "what is like no real image"]
        parts = [
            f"{how} than chance would of {listed([names[k] for k in order if outside[k]], most=10)}"
            for how, outside in (
                ("fewer", samples.kept < samples.low),
                ("more", samples.kept > samples.high),
            )
            if outside.any()
        ]
        parts = parts or ["of every class as many as chance would, within its 95% band"]
        kept, drawn = samples.kept.sum(), samples.n.sum()
        said.append(f"{named} {keep} {kept:,.0f} of {drawn:,.0f} samples: {'; '.join(parts)}.")
    lost = real.n.sum() - real.kept.sum()
    if lost:
        said.append(f"Of {real.n.sum():,.0f} real training images, {lost:,.0f} are left out too.")
    return said


def ratios(samples: CurationArrays, classes: tuple[str, ...]) -> Figure:
    """Kept over expected by class on a log axis, beside the band of a blind choice."""
    shown = [*shown_classes(len(classes)), UNKNOWN]
    names = [*classes, UNRECOGNIZED]
    colors = dict(enumerate(palette(len(classes)))) | {UNKNOWN: GREY}
    with np.errstate(divide="ignore", invalid="ignore"):
        kept, low, high = (x / samples.expected for x in (samples.kept, samples.low, samples.high))
    ends = np.concatenate([x[shown] for x in (kept, low, high)])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    least, most = min(0.5, ends.min() / 1.4), max(2.0, ends.max() * 1.2)
    with charts.chart("Kept, over what a blind choice keeps", labeled=False) as (figure, axes):
        charts.as_rows(figure, axes, len(shown), 0.24, (5.2, 0.5, 0.22, 0.3, 0.66), around=0.98)
        axes.axvline(1, color=GREY, linewidth=1)
        for y, k in enumerate(shown):
            charts.caption(axes, short(names[k], 24), y, -6, color=charts.INK, fontsize=9)
            if samples.expected[k] == 0:
                style = {"color": charts.MUTED, "va": "center", "fontsize": 9}
                place = ("axes fraction", "data")
                axes.annotate("none drawn", (0.01, y), xycoords=place, ha="left", **style)
                continue
            axes.hlines(y, max(low[k], least), high[k], color=GREY, alpha=0.4, linewidth=8)
            outside = not low[k] <= kept[k] <= high[k]
            style = {"mec": colors[k], "mfc": colors[k] if outside else charts.PAPER, "mew": 1.4}
            marker, x = ("o", kept[k]) if kept[k] else ("<", least)
            axes.plot(x, y, marker=marker, ms=6, ls="", clip_on=False, zorder=3, **style)
        axes.set_xscale("log")
        axes.set_xlim(least, most)
        axes.set_xlabel("1: as a blind choice; ◂ none kept" if not kept[shown].all() else "")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        said = ", ".join(f"{names[k]} {_ratio(kept[k])}" for k in shown)
        alt = f"Samples kept over what a blind choice of as many keeps, by class: {said}."
        table = pd.DataFrame({"class": names, **vars(samples)})
        return Figure.drawn(figure, "kept", alt, table)


def _table(samples: CurationArrays, classes: tuple[str, ...]) -> Table:
    relabeled = bool(samples.relabelled.any())
    columns = [
        Column("class"),
        Column("samples", number=True, wide=True),
        Column("kept", number=True),
        Column("blind choice (95%)"),
        Column("ratio", number=True),
        *([Column("label corrected", number=True)] if relabeled else []),
    ]
    names, colors = [*classes, UNRECOGNIZED], [*palette(len(classes)), "var(--gray)"]
    rows = []
    for k in [*shown_classes(len(classes)), UNKNOWN]:
        expected = samples.expected[k]
        blindly = f"{expected:.2g}" if expected < 1 else f"{expected:,.1f}"
        cells = [
            names[k],
            f"{samples.n[k]:,.0f}",
            f"{samples.kept[k]:,.0f}",
            f"{blindly} ({samples.low[k]:,.0f} to {samples.high[k]:,.0f})",
            _ratio(samples.kept[k] / expected if expected else None),
        ]
        cells += [f"{samples.relabelled[k]:,.0f}"] if relabeled else []
        rows.append(TableRow(cells, colors[k], alert=bool(samples.kept[k] < samples.low[k])))
    return Table("What the filters kept, by class", columns, rows)


def watermark_table(metrics: pd.DataFrame, last: int) -> Table | None:
    """A row for each generation of models; None where nothing was marked."""
    found = metrics.loc[metrics["metric"].isin([name for name, _, _ in COLUMNS])]
    if found.empty:
        return None
    several = "lineage" in found and found["lineage"].nunique() > 1
    columns = [Column("generation"), *(Column(head) for _, head, _ in COLUMNS)]
    rows = [
        TableRow(
            [str(g), *(_said(_at(found, name, g), show, several) for name, _, show in COLUMNS)]
        )
        for g in range(1, last + 1)
    ]
    return Table("The watermark by generation", columns, rows)


def _at(metrics: pd.DataFrame, name: str, g: int) -> FloatArray:
    """float64[L, 3]: value, low and high, where there is a value."""
    rows = metrics.loc[(metrics["metric"] == name) & (metrics["generation"] == g)]
    found = rows[["value", "low", "high"]].to_numpy(np.float64)
    return found[np.isfinite(found[:, 0])]


def _said(found: FloatArray, show: Callable[[float], str], several: bool) -> str:
    """A value with its interval; of several lineages mean and range."""
    if not len(found):
        return NONE
    value, low, high = found.T
    ends = [float(end) for end in ((value.min(), value.max()) if several else (low[0], high[0]))]
    said = show(float(value.mean()))
    if not np.isfinite(ends).all() or ends[0] == ends[1]:
        return said
    return f"{said} ({' to '.join(map(show, ends))})"


def _ratio(value: float | None) -> str:
    return NONE if value is None or not np.isfinite(value) else ratio(value)
