"""Survival analysis of classes across lineages; a class that is still alive is censored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import CensoredData, ecdf, logrank

from imgcollapse.core.errors import UserError
from imgcollapse.core.estimate import wilson_interval


@dataclass(frozen=True)
class SurvivalCurve:
    """A Kaplan-Meier estimate: a step function that starts at 1 in generation 0.

    Attributes:
        generation: int64[T], 0 and every generation with an extinction or a censored lineage.
        alive: float64[T], estimated probability of being alive after that generation.
        low: float64[T], lower end of the pointwise 95% interval.
        high: float64[T], upper end.
        at_risk: int64[T], lineages alive and observed just before.
        median: first generation after which at most half are alive; None if it was not reached.
    """

    generation: NDArray[np.int64]
    alive: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    at_risk: NDArray[np.int64]
    median: int | None


@dataclass(frozen=True)
class LogRank:
    """A log-rank test of two groups of lineages losing a class at the same rate.

    Attributes:
        statistic: about standard normal if they do; negative if the first group survives longer.
        p: two-sided p-value.
        reason: why both are None, else None.
    """

    statistic: float | None
    p: float | None
    reason: str | None = None


def survival_curve(times: ArrayLike, observed: ArrayLike) -> SurvivalCurve:
    """Product-limit estimate of survival over L lineages (Kaplan & Meier 1958).

    The interval is Wilson's for a proportion of n* = S(1-S)/Var lineages, Var Greenwood's (Rothman
    1978): without censoring n* is their number, and it is finite where all or none are alive.

    Args:
        times: int[L], generation of extinction, or the last one observed.
        observed: bool[L], True for an extinction, False where the class was still alive.

    Raises:
        UserError: there is no lineage, or not one `observed` for each time.
    """
    when, died = _checked(times, observed)
    curve = ecdf(_censored(when, died)).sf
    generation = np.unique(when)
    alive = np.concatenate([[1.0], np.clip(curve.evaluate(generation), 0, 1)])
    at_risk = np.array([(when >= t).sum() for t in generation], dtype=np.int64)
    deaths = np.array([((when == t) & died).sum() for t in generation])
    n_star, greenwood = [float(len(when))], 0.0
    for risk, dead in zip(at_risk.tolist(), deaths.tolist(), strict=True):
        if 0 < dead < risk:
            greenwood += dead / (risk * (risk - dead))
        s = alive[len(n_star)]
        # Var = S^2 greenwood; once none are alive, the last n* with survivors is kept.
        n_star.append((1 - s) / (s * greenwood) if s > 0 and greenwood > 0 else n_star[-1])
    intervals = [
        wilson_interval(share * n, n) for share, n in zip(alive.tolist(), n_star, strict=True)
    ]
    low = np.array([interval.low for interval in intervals])
    high = np.array([interval.high for interval in intervals])
    low[0] = high[0] = 1.0  # a class is there in generation 0 by definition
    under = generation[alive[1:] <= 0.5 + 1e-12]
    return SurvivalCurve(
        np.concatenate([[0], generation]),
        alive,
        low,
        high,
        np.concatenate([[len(when)], at_risk]),
        int(under[0]) if len(under) else None,
    )


def log_rank(
    times_a: ArrayLike, observed_a: ArrayLike, times_b: ArrayLike, observed_b: ArrayLike
) -> LogRank:
    """Log-rank test (Mantel 1966) of two groups of lineages; arguments as for `survival_curve`.

    Raises:
        UserError: a group is empty, or has not one `observed` for each time.
    """
    a, died_a = _checked(times_a, observed_a)
    b, died_b = _checked(times_b, observed_b)
    events = np.unique(np.concatenate([a[died_a], b[died_b]]))
    if not len(events):
        return LogRank(None, None, "no extinction in either group: nothing to compare")
    everyone, died = np.concatenate([a, b]), np.concatenate([died_a, died_b])
    # A generation is informative if both groups are at risk in it and not all die in it.
    informative = [
        (a >= t).any()
        and (b >= t).any()
        and bool(((everyone > t) | ((everyone == t) & ~died)).any())
        for t in events
    ]
    if not any(informative):
        return LogRank(None, None, "no extinction while both groups had survivors")
    result = logrank(_censored(a, died_a), _censored(b, died_b))
    return LogRank(float(result.statistic), float(result.pvalue))


def _checked(times: ArrayLike, observed: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    when, died = np.asarray(times, dtype=np.int64), np.asarray(observed, dtype=bool)
    if when.ndim != 1 or when.shape != died.shape or not len(when):
        raise UserError(
            f"survival: {when.shape} times and {died.shape} outcomes; give one of each for every"
            " lineage, and at least one lineage"
        )
    return when, died


def _censored(when: NDArray[np.int64], died: NDArray[np.bool_]) -> CensoredData:
    return CensoredData(uncensored=when[died], right=when[~died])
