"""A published law, its measurements and plots, and the rule by which a measurement fails.

Each measurement compares a mean over independent replicates with the value in theory, in standard
errors that the replicates themselves give: no tolerance is set by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from imgcollapse import regimes
from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Detector, choose
from imgcollapse.curation.base import Filter
from imgcollapse.generators import VAE, Gaussian, Resample
from imgcollapse.generators.base import Generator

T = TypeVar("T")
Array = NDArray[np.float64]
ALPHA = 5e-5
"""Probability that a correct program fails a measurement: of some seventy, one run in 300 fails."""


@dataclass(frozen=True)
class Measurement:
    """One number in theory, and as this program gives it: a mean over replicates and its error.

    `low` and `high` are equal where theory gives one value, infinite where a bound has one side.
    `freedom` is of the standard error; `published` is the value as printed in the paper.
    """

    name: str
    low: float
    high: float
    measured: float
    error: float
    freedom: int
    published: str | None = None

    @property
    def deviation(self) -> float:
        """Standard errors from the nearest allowed value; 0 inside, infinite for an exact miss."""
        beyond = self.measured - min(max(self.measured, self.low), self.high)
        if beyond == 0:
            return 0.0
        return beyond / self.error if self.error else math.copysign(math.inf, beyond)

    @property
    def allowed(self) -> float:
        """Standard errors that chance exceeds with probability `ALPHA` (Student's t)."""
        return float(stats.t.isf(ALPHA / 2, self.freedom))

    @property
    def holds(self) -> bool:
        """Whether chance explains the deviation."""
        return bool(abs(self.deviation) <= self.allowed)


def compare(
    name: str, values: ArrayLike, theory: float | tuple[float, float], published: str | None = None
) -> Measurement:
    """Compares the mean of independent replicates, float64[S], S >= 2, with theory."""
    replicates = np.asarray(values, dtype=np.float64)
    low, high = theory if isinstance(theory, tuple) else (theory, theory)
    error = float(replicates.std(ddof=1) / math.sqrt(len(replicates)))
    mean = float(replicates.mean())
    return Measurement(name, low, high, mean, error, len(replicates) - 1, published)


@dataclass(frozen=True)
class Curve:
    """A theory's line over x, if there is one, and this program's points, float64[X] each."""

    name: str
    x: Array
    theory: Array | None
    measured: Array
    error: Array

    @classmethod
    def of(cls, name: str, x: ArrayLike, theory: ArrayLike, replicates: Array) -> Curve:
        """The curve through the means of float64[S, X] replicates."""
        line = np.asarray(theory, dtype=np.float64)
        error = replicates.std(axis=0, ddof=1) / math.sqrt(len(replicates))
        return cls(name, np.asarray(x, dtype=np.float64), line, replicates.mean(axis=0), error)


@dataclass(frozen=True)
class Plot:
    """Curves over a common axis, to be judged by eye."""

    title: str
    axis: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Outcome:
    """The measurements and plots of a law's test, or the reason why it was skipped."""

    measurements: Sequence[Measurement] = ()
    plots: Sequence[Plot] = ()
    skipped: str | None = None

    @property
    def verdict(self) -> str:
        """One of "passed", where all measurements hold, "failed" and "skipped"."""
        if self.skipped is not None:
            return "skipped"
        return "passed" if all(m.holds for m in self.measurements) else "failed"


@dataclass(frozen=True)
class Parts:
    """The parts of this program that are tested; a test of the tests puts faulty ones here."""

    resample: Generator = field(default_factory=Resample)
    gaussian: Callable[..., Generator] = Gaussian
    vae: Callable[..., VAE] = VAE
    replace: regimes.Regime = field(default_factory=regimes.Replace)
    accumulate: regimes.Regime = field(default_factory=regimes.Accumulate)
    subsample: regimes.Regime = field(default_factory=regimes.AccumulateSubsample)
    real_fraction: Callable[..., regimes.Regime] = regimes.RealFraction
    real_plus_synthetic: Callable[..., regimes.Regime] = regimes.RealPlusSynthetic
    detector: Callable[..., Filter] = Detector
    choose: Callable[[Array, Seed], NDArray[np.int64]] = choose


@dataclass(frozen=True)
class MnistTraining:
    """The training of law T1: digits and samples of a model, epochs, batch, independent chains."""

    images: int
    epochs: int
    batch: int
    seeds: int


@dataclass(frozen=True)
class LawContext:
    """Everything that decides a law's result.

    `device`, `data` (a folder with MNIST) and `mnist` are for T1; `scale` multiplies the replicates
    of all other laws.
    """

    seed: Seed
    device: Device
    data: Path
    mnist: MnistTraining
    scale: float = 1.0
    parts: Parts = field(default_factory=Parts)
    log: Callable[[str], Any] = print

    def replicate(self, usual: int, run: Callable[[Seed], T], *names: int | str) -> list[T]:
        """Runs `usual` replicates times the scale, at least two, each with a seed of its own."""
        seed = self.seed
        for name in names:
            seed = seed / name
        return [run(seed / i) for i in range(max(2, round(usual * self.scale)))]


@dataclass(frozen=True)
class Law:
    """A published law and its tests.

    `source` is the paper, and its equation in words; `threads` limits the CPU threads of the tests,
    and None leaves the choice to torch.
    """

    id: str
    title: str
    source: str
    tests: Sequence[Callable[[LawContext], Outcome]]
    threads: int | None = 1

    def test(self, context: LawContext) -> Outcome:
        """Compares this program with the law."""
        outcomes = [test(context) for test in self.tests]
        measurements = [m for outcome in outcomes for m in outcome.measurements]
        plots = [plot for outcome in outcomes for plot in outcome.plots]
        return Outcome(measurements, plots, next((o.skipped for o in outcomes if o.skipped), None))


@dataclass(frozen=True)
class Result(Outcome):
    """An outcome with its law and the wall-clock time it took."""

    law: Law = field(kw_only=True)
    seconds: float = 0.0
