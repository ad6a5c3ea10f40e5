"""Measures that runs are compared by: differences with 95% intervals, and survival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from imgcollapse.drift import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.metrics import MetricInfo
from imgcollapse.report.arrays import CensusArrays, FloatArray, series
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import percent, signed_points, signed_value, value

SMALLEST_SHARE = 1e-3
"""The least that an axis of shares spans: below are rounding errors of the estimate."""


Values = Callable[[ReportedRun, int], FloatArray]
OfCensus = Callable[[CensusArrays], NDArray[Any]]


@dataclass(frozen=True)
class Measure:
    """One number about a generation.

    Attributes:
        name: what it is called in a sentence.
        title: of its chart.
        better: 1 where more is better, -1 where less is, 0 where neither.
        of: run and number of generations => float64[L, G], NaN where undefined.
        share: whether it is shown in percent.
        limits: the smallest and the largest value there can be.
        full_axis: whether the axis spans `limits`.
        floor: the metric whose real-against-real band is drawn; empty for none.
    """

    name: str
    title: str
    better: int
    of: Values
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
        axis.set_major_formatter(PercentFormatter(1) if self.share else lambda x, _: value(x))


def measures(data: PageData) -> list[Measure]:
    """Those that have a value in every run: of the census, and the metrics that are compared."""
    rare, classes, end = list(data.rare), len(data.classes), data.last + 1
    rarest = f"of the rarest {'class' if len(rare) == 1 else f'{len(rare)} classes'}"

    def measure(
        better: int, name: str, title: str, most: float, of: OfCensus, **axis: Any
    ) -> Measure:
        def values(run: ReportedRun, generations: int) -> FloatArray:
            return of(run.census)[:, :generations].astype(np.float64)

        return Measure(name, title, better, values, limits=(0, most), **axis)

    def kept(x: CensusArrays) -> FloatArray:
        # A rare class that grows, as one that unrecognizable samples resemble, must not hide
        # another's loss.
        real = x.training[rare] / x.training.sum()
        return np.minimum(x.frequency[:, :, rare], real).sum(axis=2) / real.sum()

    def share(x: CensusArrays) -> FloatArray:
        return x.frequency[:, :, rare].sum(axis=2)

    def extinct(x: CensusArrays) -> NDArray[np.int64]:
        # By the end, not at some time: fresh real images can bring a class back.
        return x.extinct[:, :, rare].sum(axis=2)

    def detected(x: CensusArrays) -> NDArray[np.int64]:
        return x.detected.sum(axis=2)

    def recognized(x: CensusArrays) -> FloatArray:
        return x.recognized / x.n

    lost, seen = f"Extinct {rarest}", f"Classes detected, of {classes}"
    differ = "Heterozygosity: chance that two samples differ"
    like = "Share of samples like a real image"
    found = [
        measure(1, f"part {rarest} that is kept", f"Kept {rarest}", 1, kept, share=True),
        measure(0, f"share {rarest}", f"Share {rarest}", 1, share, share=True, full_axis=False),
        measure(-1, "number of rare classes extinct", lost, len(rare), extinct),
        measure(1, "number of classes detected", seen, classes, detected),
        measure(1, "heterozygosity", differ, 1, lambda x: x.heterozygosity),
        measure(1, "share recognized", like, 1, recognized, share=True),
        *(_metric(info) for info in data.run.metric_infos if info.compared),
    ]
    return [m for m in found if all(np.isfinite(m.of(run, end)).any() for run in data.runs)]


@dataclass(frozen=True)
class Difference:
    """Mean over the lineages of one run less that of another, with its 95% interval.

    None where a run has no value, and where there are too few lineages for an interval.
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
    """Compare means over lineages float64[L] and float64[M] by Student's t; NaN are left out.

    Where paired, lineages of one number belong together, L = M, and t is that of their
    differences; else it is Welch's (1947, Biometrika 34:28).
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
    """Survival of each of R rare classes in each of L lineages of one run.

    `times`, int64[L R], are the generations in which the class was first called extinct, or the
    last; `lost`, bool[L R], whether it was.
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
