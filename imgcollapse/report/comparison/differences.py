"""A difference of two means over lineages, with its 95% interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

How = Literal["paired", "Welch"]


@dataclass(frozen=True)
class Difference:
    """Mean of one arm less that of another.

    Attributes:
        value: None where an arm has no value.
        low: lower end of its 95% interval; None where there are too few lineages for one.
        high: upper end.
        how: what the interval is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    how: How | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def difference(arm: ArrayLike, baseline: ArrayLike, paired: bool) -> Difference:
    """Compare the means over lineages by Student's t; values that are NaN are left out.

    Paired, lineage i of one arm with lineage i of the other: d = mean(a_i - b_i), its standard
    error that of the L differences, L - 1 degrees of freedom. Else Welch's (1947, Biometrika
    34:28): s_a^2/L_a + s_b^2/L_b, with Satterthwaite's degrees of freedom.

    Args:
        arm: float[L].
        baseline: float[M], M = L where paired.
        paired: whether lineages of one number belong together.
    """
    a, b = np.asarray(arm, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        return _of_one(a[both] - b[both])
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return Difference(None)
    value = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return Difference(value)
    parts = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return Difference(value, value, value, "Welch")
    freedom = variance**2 / sum(
        part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True)
    )
    reach = float(stdtrit(freedom, 0.975)) * variance**0.5
    return Difference(value, value - reach, value + reach, "Welch")


def _of_one(gaps: np.ndarray) -> Difference:
    if not len(gaps):
        return Difference(None)
    value = float(gaps.mean())
    if len(gaps) < 2:
        return Difference(value)
    error = float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    reach = float(stdtrit(len(gaps) - 1, 0.975)) * error
    return Difference(value, value - reach, value + reach, "paired")
