"""Section "When each class was last detected": the census at the end, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgcollapse.census import statuses
from imgcollapse.drift import SurvivalCurve, survival_curve
from imgcollapse.report import charts
from imgcollapse.report.arrays import CensusArrays, FloatArray, mean
from imgcollapse.report.charts import GREY, Figure, palette
from imgcollapse.report.data import PageData
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.formatting import NONE, generations_text, percent, short
from imgcollapse.report.grid_layout import shown_classes
from imgcollapse.report.section import Block, Column, Panels, Section, Table, TableRow, Text


class LastDetected(Section):
    """The share of each class in the last generation, and when the class was last detected."""

    name, runs = "seen", "one"
    heading = "When each class was last detected"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """The table; of several lineages survival curves as well."""
        census = data.run.census
        several = len(census.lineages) > 1
        said = (
            "Shares are among the recognized samples, estimated from the oracle's calibrated "
            "probabilities by expectation-maximization, so that its mistakes on held-out real "
            "images are corrected for; intervals carry both sampling and that correction. A class "
            "is detected in a generation where its interval leaves out 0; missed in three "
            "generations running that would have shown it at its real share, it is called extinct."
        )
        said += " Shares and limits are means over lineages." if several else ""
        found: list[Block] = [_table(census), Text(said)]
        panels = [figure for _, figure in survival_panels(census, data.run.drift_test)]
        if panels:
            survival = (
                "Survival: the share of lineages in which the class is not yet called extinct "
                "(Kaplan–Meier, with 95% interval); dashed, what drift alone gives under the same "
                "rule."
            )
            found += [Text(survival), Panels(panels, charts.side_by_side("survival", panels))]
        return found


def _table(census: CensusArrays) -> Table:
    several = len(census.lineages) > 1
    range_of = "range" if several else "95% interval"
    columns = [
        Column("class"),
        Column("real share", number=True, wide=True),
        Column("real images", number=True, wide=True),
        Column(f"share in generation {census.last} ({range_of})"),
        Column("detection limit", number=True, wide=True),
        Column("last detected in", number=True),
        *([Column("half extinct by", number=True, wide=True)] if several else []),
        Column("status"),
    ]
    return Table("When each class was last detected", columns, class_rows(census))


def class_rows(census: CensusArrays) -> list[TableRow]:
    """One row for each class, common to rare, in the columns of the table."""
    real = census.training / census.training.sum()
    rows = []
    for k, color in enumerate(palette(len(census.classes))):
        limits = census.limit[:, census.last, k]
        limits, median = limits[np.isfinite(limits)], survival_curve_of(census, k).median
        cells = [
            census.classes[k],
            percent(real[k]),
            f"{census.training[k]:,}",
            _share(census, k),
            percent(limits.mean()) if len(limits) else NONE,
            generations_text(census.last_detected[:, k]),
            *([NONE if median is None else str(median)] if len(census.lineages) > 1 else []),
            _status(census, k),
        ]
        rows.append(TableRow(cells, color, alert=bool(census.gone[:, k].all())))
    return rows


def _share(census: CensusArrays, k: int) -> str:
    """The share in the last generation with its interval; of several lineages mean and range."""
    shares = census.frequency[:, census.last, k]
    shares = shares[np.isfinite(shares)]
    if not len(shares):
        return "undefined"
    low, high = shares.min(), shares.max()
    if len(census.lineages) == 1:
        low, high = census.low[0, census.last, k], census.high[0, census.last, k]
    return f"{percent(shares.mean())} ({percent(low)} to {percent(high)})"


def _status(census: CensusArrays, k: int) -> str:
    extinct, gone = census.extinct[:, census.last, k], census.gone[:, k]
    lineages = len(gone)
    if lineages > 1:
        below = (gone & ~extinct).sum()
        parts = [f"extinct in {extinct.sum()}"] * bool(extinct.any())
        parts += [f"below detection in {below}"] * bool(below)
        return f"{', '.join(parts)} of {lineages}" if parts else "present in all"
    if extinct[0]:
        return f"extinct, called in {census.called[0, k]}"
    return "below detection" if gone[0] else "present"


def survival_curve_of(census: CensusArrays, k: int) -> SurvivalCurve:
    """Of class k: a lineage's death is the generation in which the class is first called extinct;
    lineages where it never is are censored in the last generation.
    """
    return _kaplan_meier(census.extinct[:, :, k])


def survival_panels(census: CensusArrays, drift_test: DriftTest | None) -> list[tuple[int, Figure]]:
    """Label and panel of each class shown that is extinct somewhere; none of a single lineage."""
    if len(census.lineages) == 1:
        return []
    shown = [k for k in shown_classes(len(census.classes)) if census.extinct[:, :, k].any()]
    return [(k, _survival_panel(census, drift_test, k)) for k in shown]


def _survival_panel(census: CensusArrays, drift_test: DriftTest | None, k: int) -> Figure:
    color, curve = palette(len(census.classes))[k], survival_curve_of(census, k)
    with charts.panel(short(census.classes[k], 24)) as (figure, axes):
        by_chance = None
        if drift_test:
            by_chance = _kaplan_meier(_called_extinct(census, drift_test.null.shares[:, :, k], k))
            style = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (4, 2))}
            axes.step(by_chance.generation, by_chance.alive, where="post", **style)
        steps = {"step": "post", "color": color, "alpha": 0.18, "linewidth": 0}
        axes.fill_between(curve.generation, curve.low, curve.high, **steps)
        axes.step(curve.generation, curve.alive, where="post", color=color, linewidth=2)
        axes.set_ylim(0, 1.04)
        axes.set_xlim(0, census.last)
        axes.yaxis.set_major_formatter("{x:.0%}")
        lost = int(census.extinct[:, :, k].any(axis=1).sum())
        median = "" if curve.median is None else f"; half by generation {curve.median}"
        alt = (
            f"{census.classes[k]}: share of lineages that still have it, by generation. Extinct in "
            f"{lost} of {len(census.lineages)}{median}."
        )
        drawn = {"lineages": curve} | ({"drift alone": by_chance} if by_chance else {})
        table = pd.concat([_steps(census.classes[k], *item) for item in drawn.items()])
        return Figure.drawn(figure, f"survival-{k}", alt, table)


def _steps(name: str, of: str, curve: SurvivalCurve) -> pd.DataFrame:
    """A curve's steps; that of drift alone without its interval, which says how many replays."""
    ends = {"low": curve.low, "high": curve.high} if of == "lineages" else {}
    steps = {"generation": curve.generation, "alive": curve.alive, **ends}
    return pd.DataFrame({"class": name, "of": of, **steps})


def _kaplan_meier(extinct: NDArray[np.bool_]) -> SurvivalCurve:
    """bool[L, G] => Kaplan-Meier."""
    died = extinct.any(axis=1)
    return survival_curve(np.where(died, extinct.argmax(axis=1), extinct.shape[1] - 1), died)


def _called_extinct(census: CensusArrays, shares: FloatArray, k: int) -> NDArray[np.bool_]:
    """True where the census would call class k, at shares float64[S, G], extinct: bool[S, G]."""
    generations = shares.shape[1]
    of_class = np.zeros((*shares.shape, len(census.classes)))
    of_class[:, :, k] = shares
    seen = census.detects(of_class)[:, :, k]
    telling = (census.expected[:, k] >= mean(census.limit)[:, k])[:generations].tolist()
    courses = (statuses(course, telling) for course in seen.tolist())
    return np.array([[status == "extinct" for status, _ in course] for course in courses])
