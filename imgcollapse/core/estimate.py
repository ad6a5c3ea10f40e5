"""A metric's estimate: a number with its 95% interval, or the reason for having none."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.special import stdtrit
from scipy.stats import norm
from torch import Tensor

_Z = float(norm.ppf(0.975))


class Estimate(NamedTuple):
    """A metric's value with its 95% interval; a tuple, for torchmetrics walks through it.

    Without a value `note` says why; an interval may be missing.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


def undefined(reason: str) -> Estimate:
    """No number, and why."""
    return Estimate(None, note=reason)


def nonfinite_reason(*features: Tensor) -> str:
    """Why a metric of these features cannot be a number; empty if it can."""
    return "" if all(bool(f.isfinite().all()) for f in features) else "features are not finite"


def t_interval(
    value: float, error: float, freedom: float = math.inf, span: tuple[float, float] | None = None
) -> Estimate:
    """A value and its standard error => its 95% interval by Student's t, clipped to `span`.

    A standard error of 0 (all values equal) gives no interval; `freedom` are its degrees.
    """
    if error == 0:
        return Estimate(value)
    reach = error * (_Z if math.isinf(freedom) else float(stdtrit(freedom, 0.975)))
    low, high = span or (-math.inf, math.inf)
    return Estimate(value, max(low, value - reach), min(high, value + reach))


def wilson_interval(successes: float, n: float) -> Estimate:
    """A share of n >= 1 independent images with its Wilson score interval (Wilson 1927)."""
    p = successes / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return Estimate(p, min(p, max(0.0, centre - reach)), max(p, min(1.0, centre + reach)))


def percentile_interval(values: Tensor) -> Estimate:
    """float64[S] values of replicates => their mean, and where the central 95% of them lie."""
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(float(values.mean()), low, high)
