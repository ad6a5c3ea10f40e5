"""A published law, its measurements and plots, and the rule by which a measurement fails.

Each measurement compares a mean over independent replicates with the value in theory, in standard
errors that the replicates themselves give: no tolerance is set by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Detector, choose
from imgcollapse.curation.base import Filter
from imgcollapse.generators import VAE, Gaussian, Resample
from imgcollapse.generators.base import Generator
from imgcollapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    RealFraction,
    RealPlusSynthetic,
    Regime,
    Replace,
)

T = TypeVar("T")
Array = NDArray[np.float64]
ALPHA = 5e-5
"""Probability that a correct program fails a measurement: of some seventy, one run in 300 fails."""


@dataclass(frozen=True)
class Measurement:
    """One number in theory, and as this program gives it.

    Attributes:
        name: of the number.
        low, high: limits that theory allows, equal where it gives one value, infinite where a bound
            has one side.
        measured: mean over replicates.
        error: its standard error.
        freedom: degrees of freedom of the standard error.
        published: the value as printed in its paper, or None.
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
    name: str,
    values: ArrayLike,
    theory: float | tuple[float, float],
    published: str | None = None,
) -> Measurement:
    """Compares the mean of independent replicates, float64[S], S >= 2, with theory.

    Args:
        name: of the number.
        values: one for each replicate.
        theory: its value, or the lowest and highest that are allowed.
        published: the value in the paper.
    """
    replicates = np.asarray(values, dtype=np.float64)
    low, high = theory if isinstance(theory, tuple) else (theory, theory)
    error = float(replicates.std(ddof=1) / math.sqrt(len(replicates)))
    mean = float(replicates.mean())
    return Measurement(name, low, high, mean, error, len(replicates) - 1, published)


@dataclass(frozen=True)
class Curve:
    """A theory's line, and this program's points.

    Attributes:
        name: label at the line's right end.
        x: float64[X].
        theory: float64[X], or None where there is no theory.
        measured: float64[X], mean over replicates.
        error: float64[X], standard errors.
    """

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


def join(*outcomes: Outcome) -> Outcome:
    """The measurements and plots of several parts of a law's test."""
    measurements = [m for outcome in outcomes for m in outcome.measurements]
    return Outcome(measurements, [plot for outcome in outcomes for plot in outcome.plots])


@dataclass(frozen=True)
class Result(Outcome):
    """An outcome with its law and the time it took.

    Attributes:
        id, title, source: the law's.
        seconds: wall clock.
    """

    id: str = ""
    title: str = ""
    source: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Parts:
    """The parts of this program that are tested; a test of the tests puts faulty ones here."""

    resample: Generator = field(default_factory=Resample)
    gaussian: Callable[..., Generator] = Gaussian
    vae: Callable[..., Generator] = VAE
    replace: Regime = field(default_factory=Replace)
    accumulate: Regime = field(default_factory=Accumulate)
    subsample: Regime = field(default_factory=AccumulateSubsample)
    real_fraction: Callable[..., Regime] = RealFraction
    real_plus_synthetic: Callable[..., Regime] = RealPlusSynthetic
    detector: Callable[..., Filter] = Detector
    choose: Callable[[Array, Seed], NDArray[np.int64]] = choose


@dataclass(frozen=True)
class MnistTraining:
    """The amount of training that law T1 gets.

    Attributes:
        images: MNIST digits, and samples of every model.
        epochs, batch: of every VAE.
        seeds: independent chains.
    """

    images: int
    epochs: int
    batch: int
    seeds: int


@dataclass(frozen=True)
class LawContext:
    """Everything that decides a law's result.

    Attributes:
        seed: names every draw.
        device: trains the VAEs of T1.
        data: folder that holds MNIST.
        mnist: the training that T1 gets.
        scale: multiplies the replicates of all other laws.
        parts: the parts that are tested.
        log: called with a line of progress.
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


class Law(Protocol):
    """A published law and its test.

    Attributes:
        id: its number, or a short name.
        title: a few words.
        source: the paper, and its equation in words.
        threads: CPU threads that the test uses; None leaves the choice to torch.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    threads: ClassVar[int | None] = 1

    def test(self, context: LawContext) -> Outcome:
        """Compares this program with the law."""
        ...
