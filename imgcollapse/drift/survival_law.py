"""How long a rare class survives replacement: the branching approximation.

One generation of `replace` with a perfect learner: n images are drawn from the shares of the last n
and take their place. A class with m copies then has Binomial(n, m/n) ~ Poisson(m) copies, each copy
the founder of a branch of its own: Galton-Watson with Poisson(1) offspring. Suresh, Thangaraj &
Khandavally 2024, arXiv:2412.17646; Kolmogorov 1938 for the 2/k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count, islice

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad

_SUMMED = 4000
"""Generations summed one by one before the tail of an infinite sum is integrated."""


def _recursion() -> Iterator[float]:
    g = 1.0
    while True:
        yield g
        g = -math.expm1(-g)


def survival_recursion(k: int) -> float:
    """g_k with g_1 = 1, g_{k+1} = 1 - exp(-g_k), about 2/k.

    exp(-g_k) is the chance that the branch of one copy is gone after k generations, k >= 1.
    """
    return next(islice(_recursion(), k - 1, None))


def survival(n: float, p: ArrayLike, k: int) -> NDArray[np.float64]:
    """Chance that classes of frequency p [K] among n images are alive after k generations.

    1 - exp(-n p g_k), a lower bound that is nearly exact (Suresh et al. 2024).
    """
    expected = n * np.asarray(p, dtype=np.float64)
    return -np.expm1(-expected * survival_recursion(k)) if k else (expected > 0).astype(float)


def classes_lost(n: float, p: ArrayLike, k: int) -> float:
    """Expected number of the classes of frequency p [K] that are gone after k generations."""
    there = np.asarray(p, dtype=np.float64)
    there = there[there > 0]
    return float((1 - survival(n, there, k)).sum())


def median_loss(m: float) -> int:
    """First generation by which a class of m copies is more likely gone than not: about 2.9 m."""
    return next(k for k, g in zip(count(1), _recursion(), strict=False) if m * g <= math.log(2))


def first_extinction(n: float, p: ArrayLike, k: int) -> float:
    """Pr(T > k): all classes of frequency p [K] are alive after k generations.

    prod_i (1 - exp(-n p_i g_k)), as if classes did not compete (Suresh et al. 2024).
    """
    there = np.asarray(p, dtype=np.float64)
    return float(np.prod(survival(n, there[there > 0], k)))


def first_extinction_mean(n: float, p: ArrayLike) -> float:
    """Mean generation of the first extinction, sum over k >= 0 of Pr(T > k).

    Infinite for fewer than two classes: the only class there is cannot be lost, and the
    approximation's tail, about prod_i (2 n p_i / k), sums for two or more alone.
    """
    expected = n * np.asarray(p, dtype=np.float64)
    expected = expected[expected > 0]
    if len(expected) < 2:
        return math.inf
    g = np.fromiter(islice(_recursion(), _SUMMED), np.float64)
    head = 1 + (-np.expm1(-np.outer(g, expected))).prod(axis=1).sum()
    # Beyond, g_x = 2/(x + c) with c fixed where the sum ends; u = g_x, dx = 2 du / u^2.
    end = 2 / (2 / g[-1] + 0.5)
    tail, _ = quad(lambda u: 2 * float((-np.expm1(-expected * u)).prod()) / u**2, 0, end)
    return float(head + tail)


def lost_in_one_generation(n: int) -> float:
    """Chance that a class with one copy among n images has none in the next n: (1 - 1/n)^n."""
    return (1 - 1 / n) ** n
