"""What a law, a finding about it, and the plot of it are; and when a finding fails.

A law is put to this program's own parts. Each finding compares a mean over independent replicates
with what theory says, in standard errors that the replicates themselves give: no tolerance is set
by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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

Array = NDArray[np.float64]
ALPHA = 5e-5
"""Chance that a right program fails one finding: some seventy are made, so one run in 300 fails."""


@dataclass(frozen=True)
class Measurement:
    """One number that theory gives, and what this program makes of it.

    Attributes:
        what: the number's name.
        low, high: what theory allows, equal where it gives one value, infinite where a bound has
            one side.
        here: mean over replicates.
        error: its standard error.
        freedom: degrees of freedom that the standard error has.
        published: the value as printed in VALIDATION.md or its paper, or None.
    """

    what: str
    low: float
    high: float
    here: float
    error: float
    freedom: int
    published: str | None = None

    @property
    def deviation(self) -> float:
        """Standard errors from the nearest allowed value; 0 inside, infinite for an exact miss."""
        beyond = self.here - min(max(self.here, self.low), self.high)
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
    what: str,
    values: ArrayLike,
    theory: float | tuple[float, float],
    published: str | None = None,
) -> Measurement:
    """The finding that independent replicates, float64[S], S >= 2, make about a theory.

    Args:
        what: the number's name.
        values: one for each replicate.
        theory: its value, or the lowest and highest that it allows.
        published: what others saw.
    """
    seen = np.asarray(values, dtype=np.float64)
    low, high = theory if isinstance(theory, tuple) else (theory, theory)
    error = float(seen.std(ddof=1) / math.sqrt(len(seen)))
    return Measurement(what, low, high, float(seen.mean()), error, len(seen) - 1, published)


@dataclass(frozen=True)
class Curve:
    """A theory's line, and this program's points.

    Attributes:
        name: what is said at the line's right end.
        x: float64[X].
        theory: float64[X], or None where there is no theory.
        here: float64[X], mean over replicates.
        error: float64[X], standard errors.
    """

    name: str
    x: Array
    theory: Array | None
    here: Array
    error: Array

    @classmethod
    def of(cls, name: str, x: ArrayLike, theory: ArrayLike | None, replicates: Array) -> Curve:
        """The curve through the means of float64[S, X] replicates."""
        line = None if theory is None else np.asarray(theory, dtype=np.float64)
        error = replicates.std(axis=0, ddof=1) / math.sqrt(len(replicates))
        return cls(name, np.asarray(x, dtype=np.float64), line, replicates.mean(axis=0), error)


@dataclass(frozen=True)
class Plot:
    """One picture for a person to judge: curves over a common axis."""

    title: str
    axis: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a law's test: findings and plots, or the reason why it was not put to one."""

    findings: Sequence[Measurement] = ()
    plots: Sequence[Plot] = ()
    skipped: str | None = None

    @property
    def verdict(self) -> str:
        """Whether all findings hold: "passed", "failed", or "skipped"."""
        if self.skipped is not None:
            return "skipped"
        return "passed" if all(finding.holds for finding in self.findings) else "failed"


@dataclass(frozen=True)
class Parts:
    """What the laws are put to: this program's own parts, or somebody's in their place."""

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
class Digits:
    """How much training law T1 is given.

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
    """Everything that decides a result.

    Attributes:
        seed: names every draw.
        device: where VAEs are trained.
        data: the folder that holds MNIST.
        digits: the training that T1 gets.
        scale: multiplies the replicates of all other laws.
        parts: what the laws are put to.
    """

    seed: Seed
    device: Device
    data: Path
    digits: Digits
    scale: float = 1.0
    parts: Parts = field(default_factory=Parts)

    def replicates(self, usual: int) -> int:
        """How many replicates a law gets that usually gets so many; at least two."""
        return max(2, round(usual * self.scale))


class Law(Protocol):
    """A published law and its test."""

    @property
    def id(self) -> str:
        """Its number in VALIDATION.md, or a short name."""
        ...

    @property
    def title(self) -> str:
        """A few words."""
        ...

    @property
    def source(self) -> str:
        """Who published it, and its equation in words."""
        ...

    @property
    def threads(self) -> int | None:
        """CPU threads it runs best with; None leaves the choice to torch."""
        ...

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Put this program to it."""
        ...
