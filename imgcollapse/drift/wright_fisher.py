"""The Wright-Fisher chain of one class against all others, solved exactly.

One generation: each of n images is, independently, of the class with probability i/n, where i is
the number of its copies now. So i' ~ Binomial(n, i/n), whatever the other classes are: 0 and n
absorb (Fisher 1930, Wright 1931; Ewens 2004, Mathematical Population Genetics, ch. 3). The
diffusion that approximates it is in theory.py.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlog1py, xlogy

Array = NDArray[np.float64]


@lru_cache(maxsize=2)
def transition(n: int) -> Array:
    """Probabilities of going from i to j copies in one generation: float64[n+1, n+1], read-only.

    8 (n+1)^2 bytes: n = 2000 takes 32 MB.
    """
    j = np.arange(n + 1, dtype=np.float64)
    p = (j / n)[:, None]
    ways = gammaln(n + 1) - gammaln(j + 1) - gammaln(n - j + 1)
    chances = np.exp(ways + xlogy(j, p) + xlog1py(n - j, -p))
    # Logarithms of factorials cost some digits; rows that do not sum to 1 leak over generations.
    chances /= chances.sum(axis=1, keepdims=True)
    chances.flags.writeable = False
    return chances


@lru_cache(maxsize=2)
def _times(n: int) -> Array:
    inside = np.arange(1, n) / n
    left = np.eye(n - 1) - transition(n)[1:-1, 1:-1]
    # Sum over t of Q^t 1, and of Q^t u with u = Pr(loss from here), both in one solve.
    wanted = np.column_stack([np.ones(n - 1), 1 - inside])
    return np.asarray(np.linalg.solve(left, wanted), dtype=np.float64)


def absorption_time_exact(n: int, m: int) -> float:
    """Expected generations until a class with m of n copies is lost or fixed.

    (I - Q)^-1 1 with Q the transitions among 1..n-1 copies; O(n^3) once for each n.
    """
    return 0.0 if m in (0, n) else float(_times(n)[m - 1, 0])


def loss_time_exact(n: int, m: int) -> float | None:
    """Expected generations until a class with m of n copies is lost, given that it is lost.

    Loss has probability 1 - m/n; None for m = n, which is never lost.
    """
    if m in (0, n):
        return None if m else 0.0
    return float(_times(n)[m - 1, 1] / (1 - m / n))


def loss_by(n: int, m: ArrayLike, generations: int) -> Array:
    """Pr(lost by generation t) for t = 0..generations: m int[K] copies of n => float64[K, t]."""
    copies = np.asarray(m)
    lost = np.zeros(n + 1)
    lost[0] = 1.0
    probabilities = [lost[copies]]
    for _ in range(generations):
        lost = transition(n) @ lost
        probabilities.append(lost[copies])
    return np.stack(probabilities, axis=-1)
