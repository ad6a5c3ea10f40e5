"""How long classes live: Kaplan-Meier curves over lineages, beside those of chance alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from imgcollapse.census import score_interval, statuses
from imgcollapse.drift import SurvivalCurve, survival_curve
from imgcollapse.report.census_arrays import CensusArrays, Cube
from imgcollapse.report.chart import GREY, palette, panel
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.figure import Figure
from imgcollapse.report.formatting import short
from imgcollapse.report.grid_layout import shown_classes
from imgcollapse.report.series import mean


def lives(counts: CensusArrays, k: int) -> SurvivalCurve:
    """Of class k: a lineage's death is the generation in which the class is first called extinct;
    lineages where it never is are censored in the last generation.
    """
    return _curve(counts.extinct[:, :, k])


def survival_panels(counts: CensusArrays, verdict: DriftTest | None) -> list[tuple[int, Figure]]:
    """One panel for each class that is extinct somewhere, of those that are shown.

    Returns:
        Label and figure, common to rare; nothing for a single lineage, which has no curve.
    """
    if len(counts.lineages) == 1:
        return []
    shown = [k for k in shown_classes(len(counts.classes)) if counts.extinct[:, :, k].any()]
    return [(k, _panel(counts, verdict, k)) for k in shown]


def _panel(counts: CensusArrays, verdict: DriftTest | None, k: int) -> Figure:
    colour, curve = palette(len(counts.classes))[k], lives(counts, k)
    with panel(short(counts.classes[k], 24)) as (figure, axes):
        by_chance = None
        if verdict:
            by_chance = _curve(_called(counts, verdict.null.shares[:, :, k], k))
            style = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (4, 2))}
            axes.step(by_chance.generation, by_chance.alive, where="post", **style)
        steps = {"step": "post", "color": colour, "alpha": 0.18, "linewidth": 0}
        axes.fill_between(curve.generation, curve.low, curve.high, **steps)
        axes.step(curve.generation, curve.alive, where="post", color=colour, linewidth=2)
        axes.set_ylim(0, 1.04)
        axes.set_xlim(0, counts.last)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        lost = int(counts.extinct[:, :, k].any(axis=1).sum())
        median = "" if curve.median is None else f"; half by generation {curve.median}"
        alt = (
            f"{counts.classes[k]}: share of lineages that still have it, by generation. Extinct in "
            f"{lost} of {len(counts.lineages)}{median}."
        )
        drawn = {"lineages": curve} | ({"chance alone": by_chance} if by_chance else {})
        table = pd.concat([_table(counts.classes[k], *item) for item in drawn.items()])
        return Figure.drawn(figure, f"survival-{k}", alt, table)


def _table(name: str, of: str, curve: SurvivalCurve) -> pd.DataFrame:
    """A curve's steps. Chance is drawn without its interval, which only says how many replays."""
    ends = {"low": curve.low, "high": curve.high} if of == "lineages" else {}
    steps = {"generation": curve.generation, "alive": curve.alive, **ends}
    return pd.DataFrame({"class": name, "of": of, **steps})


def _curve(extinct: NDArray[np.bool_]) -> SurvivalCurve:
    """bool[L, G] => Kaplan-Meier."""
    died = extinct.any(axis=1)
    return survival_curve(np.where(died, extinct.argmax(axis=1), extinct.shape[1] - 1), died)


def _called(counts: CensusArrays, shares: Cube, k: int) -> NDArray[np.bool_]:
    """Whether the census would call class k, at shares float64[S, G], extinct: bool[S, G]."""
    generations = shares.shape[1]
    noise, recognised = mean(counts.noise)[:generations, k], mean(counts.recognised)[:generations]
    seen = score_interval(shares, np.maximum(recognised, 1), noise)[0] > 0
    telling = (counts.expected[:, k] >= mean(counts.limit)[:, k])[:generations].tolist()
    return np.array(
        [
            [status == "extinct" for status, _ in statuses(course, telling)]
            for course in seen.tolist()
        ]
    )
