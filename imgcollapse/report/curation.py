"""What the filters kept of each class, all generations together, beside a blind choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from scipy.signal import convolve
from scipy.stats import hypergeom

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.chart import GREY, INK, MUTED, PAPER, chart, palette
from imgcollapse.report.figure import Figure
from imgcollapse.report.formatting import listed, ratio, short
from imgcollapse.report.grid_layout import class_note, shown_classes
from imgcollapse.report.watermark import marked
from imgcollapse.runs.run_dir import Run

Numbers = NDArray[np.float64]

TAIL = 1e-12
"""Probability that is cut off each tail of a sum's distribution."""


@dataclass(frozen=True)
class CurationArrays:
    """Samples by class, and in the last place those that are like no real image.

    Attributes:
        n: float64[K+1], how many were drawn.
        kept: float64[K+1], how many of these entered the pool.
        expected: float64[K+1], how many a blind choice of as many keeps in the mean.
        low: float64[K+1], lower end of its central 95%.
        high: float64[K+1], upper end.
        relabelled: float64[K+1], how many of those kept bear a corrected label.
    """

    n: Numbers
    kept: Numbers
    expected: Numbers
    low: Numbers
    high: Numbers
    relabelled: Numbers

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

    Of generation g's total_g images, of_class_g of the class, chosen_g are kept: hypergeometric,
    and their sum has the convolution of these laws.

    Args:
        total: int64[G].
        of_class: int64[G].
        chosen: int64[G].
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


def section(run: Run, counts: CensusArrays, metrics: pd.DataFrame) -> dict[str, Any] | None:
    """What the page says about filters; None where a study has none, or they have not judged yet.

    Args:
        run: the run.
        counts: its census.
        metrics: rows of the lineages that the census holds.
    """
    table = run.curation
    if table.empty:
        return None
    if "lineage" not in table:
        table = table.assign(lineage=counts.lineages[0])
    table = table.loc[table["lineage"].isin(counts.lineages)]
    real = CurationArrays.of(table.loc[table["generation"] == 0], counts.classes)
    drawn = table.loc[table["generation"] > 0]
    samples = None if drawn.empty else CurationArrays.of(drawn, counts.classes)
    kinds = [part["kind"] for part in run.record["study"].get("curation", [])]
    figure = ratios(samples, counts.classes) if samples and samples.chooses else None
    return {
        "sentences": sentences(samples, real, counts.classes, kinds),
        "figure": figure,
        "rows": _rows(samples, counts.classes) if samples else [],
        "note": class_note(len(counts.classes)),
        "relabelled": samples is not None and samples.relabelled.any(),
        "generations": int(table["generation"].max()),
        "marked": marked(metrics, counts.last),
    }


def sentences(
    samples: CurationArrays | None, real: CurationArrays, classes: tuple[str, ...], kinds: list[str]
) -> list[str]:
    """What the filters did to the classes, and to the real images."""
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
    colours = dict(enumerate(palette(len(classes)))) | {UNKNOWN: GREY}
    with np.errstate(divide="ignore", invalid="ignore"):
        kept, low, high = (x / samples.expected for x in (samples.kept, samples.low, samples.high))
    ends = np.concatenate([x[shown] for x in (kept, low, high)])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    least, most = min(0.5, ends.min() / 1.4), max(2.0, ends.max() * 1.2)
    with chart("Kept, over what a blind choice keeps", labelled=False) as (figure, axes):
        figure.set_size_inches(5.2, 0.98 + 0.24 * len(shown))
        height = figure.get_size_inches()[1]
        axes.set_position((0.3, 0.5 / height, 0.66, 0.24 * len(shown) / height))
        figure.texts[0].set_position((0.005, 1 - 0.22 / height))
        axes.axvline(1, color=GREY, linewidth=1)
        for y, k in enumerate(shown):
            known = samples.expected[k] > 0
            note = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 9}
            place, offset = (0, y), {"xytext": (-6, 0), "textcoords": "offset points"}
            axes.annotate(short(names[k], 24), place, ha="right", color=INK, **note, **offset)
            if not known:
                axes.annotate("none drawn", (0.01, y), ha="left", color=MUTED, **note)
                continue
            axes.hlines(y, max(low[k], least), high[k], color=GREY, alpha=0.4, linewidth=8)
            outside = not low[k] <= kept[k] <= high[k]
            style = {"mec": colours[k], "mfc": colours[k] if outside else PAPER, "mew": 1.4}
            marker, x = ("o", kept[k]) if kept[k] else ("<", least)
            axes.plot(x, y, marker=marker, ms=6, ls="", clip_on=False, zorder=3, **style)
        axes.set_xscale("log")
        axes.set_xlim(least, most)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks([])
        axes.set_xlabel("1: as a blind choice; ◂ none kept" if not kept[shown].all() else "")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        said = ", ".join(f"{names[k]} {_ratio(kept[k])}" for k in shown)
        alt = f"Samples kept over what a blind choice of as many keeps, by class: {said}."
        table = pd.DataFrame({"class": names, **vars(samples)})
        return Figure.drawn(figure, "kept", alt, table)


def _rows(samples: CurationArrays, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    names, colours = [*classes, UNRECOGNIZED], [*palette(len(classes)), ""]
    return [
        {
            "name": names[k],
            "colour": colours[k],
            "n": f"{samples.n[k]:,.0f}",
            "kept": f"{samples.kept[k]:,.0f}",
            "blind": _blind(samples, k),
            "ratio": _ratio(samples.kept[k] / samples.expected[k] if samples.expected[k] else None),
            "relabelled": f"{samples.relabelled[k]:,.0f}",
            "gone": bool(samples.kept[k] < samples.low[k]),
        }
        for k in [*shown_classes(len(classes)), UNKNOWN]
    ]


def _blind(samples: CurationArrays, k: int) -> str:
    expected = samples.expected[k]
    said = f"{expected:.2g}" if expected < 1 else f"{expected:,.1f}"
    return f"{said} ({samples.low[k]:,.0f} to {samples.high[k]:,.0f})"


def _ratio(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else ratio(value)
