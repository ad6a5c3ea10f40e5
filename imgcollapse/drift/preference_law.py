"""What picking the best of K samples by a reward does to class shares.

One generation: K samples are drawn from shares p; one of them is kept by a Bradley-Terry choice,
that is with probability proportional to exp(reward); the next model learns the kept ones.
Ferbach et al. 2024, arXiv:2407.09499.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def preference_step(p: ArrayLike, r: ArrayLike) -> NDArray[np.float64]:
    """The next shares as K grows: proportional to p exp(r); p and r float64[classes]."""
    rewards = np.asarray(r, dtype=np.float64)
    # Only differences of rewards matter; the largest becomes 0 so that no exponential overflows.
    kept = np.asarray(p, dtype=np.float64) * np.exp(rewards - rewards.max())
    return kept / kept.sum()


def preference_gain(p: ArrayLike, r: ArrayLike, k: int) -> float:
    """Least gain of E[exp(r)] in one step of best of K: (K-1)/K Var[exp(r)] / max exp(r)."""
    shares, value = np.asarray(p, dtype=np.float64), np.exp(np.asarray(r, dtype=np.float64))
    variance = shares @ (value - shares @ value) ** 2
    return float((k - 1) / k * variance / value[shares > 0].max())


def preference_divergence_bound(ratio: float, k: int) -> float | None:
    """Most that KL(p_t || p_ref) can become in nats when real data is mixed in each generation.

    -ln(1 - ratio (K-1)), with `ratio` (lambda) the curated samples over the real ones; None for
    ratio >= 1/(K-1), where there is no bound.
    """
    left = 1 - ratio * (k - 1)
    return -math.log(left) if left > 0 else None
