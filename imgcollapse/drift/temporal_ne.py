"""Effective population size from two independent samples of class counts, t generations apart.

The temporal method: shares x and y differ because two samples were drawn and because the population
drifted between them; what sampling does not explain measures drift. Jorde & Ryman 2007,
doi:10.1534/genetics.107.075481, for haploids: what they call 2 N_e genes is N_e images here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from imgcollapse.core.errors import UserError


@dataclass(frozen=True)
class EffectiveSize:
    """How few images a perfect learner would need to drift as much as was seen.

    Attributes:
        value: N_e in images, or N_e/n from `relative_size`; None where no finite size fits.
        low: lower end of the 95% interval, or None.
        high: upper end, or None where any larger size fits too.
        reason: why something is None, else None.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def effective_size(x_counts: ArrayLike, y_counts: ArrayLike, generations: int) -> EffectiveSize:
    """N_e = t / F' over t generations.

    F_S = sum (x-y)^2 / sum z(1-z) with z = (x+y)/2, and F' = [F_S (1 - 1/(4s)) - 1/s] /
    [(1 + F_S/4)(1 - 1/m_y)], with 1/s = 1/m_x + 1/m_y for samples of m_x and m_y images. The
    interval takes (K-1) F_S over its expectation as chi-square with K-1 degrees of freedom, K the
    classes seen (Waples 1989, doi:10.1093/genetics/121.2.379).

    Args:
        x_counts: int[K], class counts of a sample that is not put back: neither is an ancestor's.
        y_counts: int[K], class counts `generations` later.
        generations: t >= 1.

    Raises:
        UserError: the counts are of different classes, or t is below 1.
    """
    before, after = np.asarray(x_counts, dtype=float), np.asarray(y_counts, dtype=float)
    if before.shape != after.shape or before.ndim != 1:
        raise UserError(
            f"effective size: counts of {before.shape} and {after.shape} classes do not match; "
            "give one count for each class, twice"
        )
    if generations < 1:
        raise UserError(
            f"effective size: the samples are {generations} generations apart; give 1 or more"
        )
    m_x, m_y = before.sum(), after.sum()
    if m_x == 0 or m_y < 2:
        return EffectiveSize(None, None, None, "too few images: give at least one, and two later")
    x, y = before / m_x, after / m_y
    z = (x + y) / 2
    freedom = int((z > 0).sum()) - 1
    if freedom == 0:
        return EffectiveSize(None, None, None, "only one class is alive: it cannot drift")
    f_s = float(((x - y) ** 2).sum() / (z * (1 - z)).sum())
    sampling = float(1 / m_x + 1 / m_y)

    def size(f: float) -> float | None:
        drift = f * (1 - sampling / 4) - sampling
        return generations * (1 + f / 4) * float(1 - 1 / m_y) / drift if drift > 0 else None

    high, low = (size(freedom * f_s / float(chi2.ppf(q, freedom))) for q in (0.975, 0.025))
    reason = None if high is not None else "sampling alone explains as much: no upper bound"
    return EffectiveSize(size(f_s), low, high, reason)
