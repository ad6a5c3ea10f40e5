"""When classes went extinct across lineages, those that still live counted as censored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import CensoredData, ecdf, logrank, norm

from imgcollapse.core.errors import UserError


@dataclass(frozen=True)
class SurvivalCurve:
    """Kaplan-Meier: a step function that starts at 1 in generation 0.

    Attributes:
        generation: int64[T], 0 and every generation with an extinction or a censored lineage.
        alive: float64[T], estimated chance of being alive after that generation.
        low: float64[T], lower end of the pointwise 95% interval.
        high: float64[T], upper end.
        at_risk: int64[T], lineages alive and watched just before.
        median: first generation after which at most half are alive, or None if it lies beyond.
    """

    generation: NDArray[np.int64]
    alive: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    at_risk: NDArray[np.int64]
    median: int | None


@dataclass(frozen=True)
class LogRank:
    """Whether two groups of lineages lose a class at the same pace.

    Attributes:
        statistic: about standard normal where they do; negative where the first group lives longer.
        p: two-sided p-value.
        reason: why both are None, else None.
    """

    statistic: float | None
    p: float | None
    reason: str | None = None


def survival_curve(times: ArrayLike, observed: ArrayLike) -> SurvivalCurve:
    """Product-limit estimate over L lineages (Kaplan & Meier 1958).

    The interval is Wilson's for a proportion of n* = S(1-S)/Var lineages, Var Greenwood's (Rothman
    1978): without censoring n* is their number, and it is finite where all or none are alive.

    Args:
        times: int[L], generation of extinction, or the last one looked at.
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
        # Var = S^2 greenwood; where all are dead the last size at which some lived stands.
        n_star.append((1 - s) / (s * greenwood) if s > 0 and greenwood > 0 else n_star[-1])
    low, high = _wilson(alive, np.array(n_star))
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
    # A generation tells the groups apart if both are at risk in it and not all die in it.
    tells = [
        (a >= t).any()
        and (b >= t).any()
        and bool(((everyone > t) | ((everyone == t) & ~died)).any())
        for t in events
    ]
    if not any(tells):
        return LogRank(None, None, "no extinction while some of both groups lived on")
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


def _wilson(
    share: NDArray[np.float64], n: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    z2 = float(norm.ppf(0.975)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
