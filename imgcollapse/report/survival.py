"""Survival of classes: Kaplan-Meier curves over lineages, beside those of chance alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from imgcollapse.census import statuses
from imgcollapse.drift import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.report.census_arrays import CensusArrays, FloatArray
from imgcollapse.report.chart import GREY, palette, panel
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.figure import Figure
from imgcollapse.report.formatting import short
from imgcollapse.report.grid_layout import shown_classes
from imgcollapse.report.tables import mean


def survival_curve_of(census: CensusArrays, k: int) -> SurvivalCurve:
    """Of class k: a lineage's death is the generation in which the class is first called extinct;
    lineages where it never is are censored in the last generation.
    """
    return _curve(census.extinct[:, :, k])


def survival_panels(census: CensusArrays, drift_test: DriftTest | None) -> list[tuple[int, Figure]]:
    """One panel for each class that is extinct somewhere, of those that are shown.

    Returns:
        Label and figure, common to rare; nothing for a single lineage, which has no curve.
    """
    if len(census.lineages) == 1:
        return []
    shown = [k for k in shown_classes(len(census.classes)) if census.extinct[:, :, k].any()]
    return [(k, _panel(census, drift_test, k)) for k in shown]


def _panel(census: CensusArrays, drift_test: DriftTest | None, k: int) -> Figure:
    color, curve = palette(len(census.classes))[k], survival_curve_of(census, k)
    with panel(short(census.classes[k], 24)) as (figure, axes):
        by_chance = None
        if drift_test:
            by_chance = _curve(_called(census, drift_test.null.shares[:, :, k], k))
            style = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (4, 2))}
            axes.step(by_chance.generation, by_chance.alive, where="post", **style)
        steps = {"step": "post", "color": color, "alpha": 0.18, "linewidth": 0}
        axes.fill_between(curve.generation, curve.low, curve.high, **steps)
        axes.step(curve.generation, curve.alive, where="post", color=color, linewidth=2)
        axes.set_ylim(0, 1.04)
        axes.set_xlim(0, census.last)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        lost = int(census.extinct[:, :, k].any(axis=1).sum())
        median = "" if curve.median is None else f"; half by generation {curve.median}"
        alt = (
            f"{census.classes[k]}: share of lineages that still have it, by generation. Extinct in "
            f"{lost} of {len(census.lineages)}{median}."
        )
        drawn = {"lineages": curve} | ({"chance alone": by_chance} if by_chance else {})
        table = pd.concat([_table(census.classes[k], *item) for item in drawn.items()])
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


def _called(census: CensusArrays, shares: FloatArray, k: int) -> NDArray[np.bool_]:
    """Whether the census would call class k, at shares float64[S, G], extinct: bool[S, G]."""
    generations = shares.shape[1]
    of_class = np.zeros((*shares.shape, len(census.classes)))
    of_class[:, :, k] = shares
    seen = census.detects(of_class)[:, :, k]
    telling = (census.expected[:, k] >= mean(census.limit)[:, k])[:generations].tolist()
    return np.array(
        [
            [status == "extinct" for status, _ in statuses(course, telling)]
            for course in seen.tolist()
        ]
    )


@dataclass(frozen=True)
class SurvivalData:
    """Survival of each rare class in each lineage of one run.

    Attributes:
        times: int64[L R], the generation in which the class was first called extinct, or the last.
        lost: bool[L R], whether it was.
    """

    times: NDArray[np.int64]
    lost: NDArray[np.bool_]

    @classmethod
    def of(cls, run: ReportedRun, rare: tuple[int, ...], last: int) -> SurvivalData:
        """Read them; those that were never called extinct are censored in generation `last`."""
        extinct = run.census.extinct[:, : last + 1, list(rare)].transpose(0, 2, 1)
        died = extinct.any(axis=2)
        times = np.where(died, extinct.argmax(axis=2), last)
        return cls(times.ravel(), died.ravel())

    def curve(self) -> SurvivalCurve:
        """The Kaplan-Meier curve of all of them."""
        return survival_curve(self.times, self.lost)

    def against(self, baseline: SurvivalData) -> LogRank:
        """Log-rank test; negative where these survive longer than the baseline's."""
        return log_rank(self.times, self.lost, baseline.times, baseline.lost)


def survival_data(data: PageData) -> list[SurvivalData]:
    """Survival of the rare classes in every run."""
    return [SurvivalData.of(run, data.rare, data.last) for run in data.runs]
