"""Measures that runs are compared by: differences with 95% intervals, and survival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from imgcollapse.drift import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.metrics import MetricInfo
from imgcollapse.report.arrays import FloatArray, series
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import percent, signed_points, signed_value, value

SMALLEST_SHARE = 1e-3
"""The least that an axis of shares spans: below are rounding errors of the estimate."""


@dataclass(frozen=True)
class Measure:
    """One number about a generation.

    Attributes:
        name: what it is called in a sentence.
        title: of its chart.
        better: 1 where more is better, -1 where less is, 0 where neither.
        of: run and number of generations => float64[L, G], NaN where undefined.
        share: whether it is a share, and is shown in percent.
        limits: the smallest and the largest value there can be.
        full_axis: whether the axis spans `limits`.
        floor: the metric whose real-against-real band is drawn; empty for none.
    """

    name: str
    title: str
    better: int
    of: Callable[[ReportedRun, int], FloatArray]
    share: bool = False
    limits: tuple[float, float] = (0.0, np.inf)
    full_axis: bool = True
    floor: str = ""

    def show(self, number: float) -> str:
        """A value as text."""
        return percent(number) if self.share else value(number)

    def change(self, difference: float) -> str:
        """A difference as text, with its sign."""
        return signed_points(difference) if self.share else signed_value(difference)

    def label_ticks(self, axis: Axis) -> None:
        """Write values at the ticks, with as many digits as tell them apart."""
        if self.share:
            axis.set_major_formatter(PercentFormatter(1))
        else:
            axis.set_major_formatter(FuncFormatter(lambda number, _: value(number)))


def measures(data: PageData) -> list[Measure]:
    """Those that have a value in every run: of the census, and the metrics that are compared."""
    rare, classes = list(data.rare), len(data.classes)

    def kept(run: ReportedRun, generations: int) -> FloatArray:
        # A rare class that grows, as one that unrecognizable samples resemble, must not hide
        # another's loss.
        real = run.census.training[rare] / run.census.training.sum()
        shares = np.minimum(run.census.frequency[:, :generations, rare], real)
        return shares.sum(axis=2) / real.sum()

    def rare_share(run: ReportedRun, generations: int) -> FloatArray:
        return run.census.frequency[:, :generations, rare].sum(axis=2)

    def extinct(run: ReportedRun, generations: int) -> FloatArray:
        # By the end, not at some time: fresh real images can bring a class back.
        return run.census.extinct[:, :generations, rare].sum(axis=2).astype(np.float64)

    def detected(run: ReportedRun, generations: int) -> FloatArray:
        return run.census.detected[:, :generations].sum(axis=2).astype(np.float64)

    def heterozygosity(run: ReportedRun, generations: int) -> FloatArray:
        return run.census.heterozygosity[:, :generations]

    def recognized(run: ReportedRun, generations: int) -> FloatArray:
        return (run.census.recognized / run.census.n)[:, :generations]

    which = "class" if len(rare) == 1 else f"{len(rare)} classes"
    name, title = f"part of the rarest {which} that is kept", f"Kept of the rarest {which}"
    found = [
        Measure(name, title, 1, kept, share=True, limits=(0, 1)),
        Measure(
            f"share of the rarest {which}",
            f"Share of the rarest {which}",
            0,
            rare_share,
            share=True,
            limits=(0, 1),
            full_axis=False,
        ),
        Measure(
            "number of rare classes extinct",
            f"Extinct of the rarest {which}",
            -1,
            extinct,
            limits=(0, len(rare)),
        ),
        Measure(
            "number of classes detected",
            f"Classes detected, of {classes}",
            1,
            detected,
            limits=(0, classes),
        ),
        Measure(
            "heterozygosity",
            "Heterozygosity: chance that two samples differ",
            1,
            heterozygosity,
            limits=(0, 1),
        ),
        Measure(
            "share recognized",
            "Share of samples like a real image",
            1,
            recognized,
            share=True,
            limits=(0, 1),
        ),
    ]
    found += [_metric(info) for info in data.run.metric_infos if info.compared]
    generations = data.last + 1
    return [
        measure
        for measure in found
        if all(np.isfinite(measure.of(run, generations)).any() for run in data.runs)
    ]


@dataclass(frozen=True)
class Difference:
    """Mean over the lineages of one run less that of another.

    Attributes:
        value: None where a run has no value.
        low: lower end of its 95% interval; None where there are too few lineages for one.
        high: upper end.
        method: how the interval is made.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: Literal["paired", "Welch"] | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def difference(run: ArrayLike, baseline: ArrayLike, paired: bool) -> Difference:
    """Compare the means over lineages by Student's t; values that are NaN are left out.

    Args:
        run: float[L].
        baseline: float[M], M = L where paired.
        paired: whether lineages of one number belong together: then t is that of the L
            differences, else Welch's (1947, Biometrika 34:28).
    """
    a, b = np.asarray(run, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return Difference(None)
    gap = float((a - b).mean() if paired else a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return Difference(gap)
    method = "paired" if paired else "Welch"
    if (np.ptp(a - b) if paired else np.ptp(a) + np.ptp(b)) == 0:
        return Difference(gap, gap, gap, method)
    test = stats.ttest_1samp(a - b, 0) if paired else stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return Difference(gap, float(low), float(high), method)


def differences(data: PageData, run: ReportedRun, of: list[Measure]) -> dict[Measure, Difference]:
    """Differences of a run from the baseline in the last generation that all have reached."""
    paired = data.paired(run)

    def at_end(measure: Measure, of: ReportedRun) -> FloatArray:
        return measure.of(of, data.last + 1)[:, data.last]

    return {m: difference(at_end(m, run), at_end(m, data.run), paired) for m in of}


def _metric(info: MetricInfo) -> Measure:
    def of(run: ReportedRun, generations: int) -> FloatArray:
        found = series(run.metrics, info.name, "value", generations)
        return np.full((len(run.lineages), generations), np.nan) if found is None else found

    better = {True: 1, False: -1, None: 0}[info.higher_is_better]
    return Measure(
        info.label,
        info.own_title or info.title,
        better,
        of,
        limits=info.limits,
        full_axis=bool(np.isfinite(info.limits).all()),
        floor=info.name if info.has_floor and info.draws_floor else "",
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
