"""What a fraction a of real data in every training set does to drift.

One generation: a n real images and (1 - a) n of the last model's samples make the training set; a
perfect learner draws n images from its shares. With fresh real images this is Wright's island model
(Wright 1931): a is the share of migrants.
"""

from __future__ import annotations

import math


def real_fraction_variance(n: int, a: float, fresh: bool) -> float:
    """Stationary variance of a class's share in the training set over p q; p real share, q = 1-p.

    Fresh real images each generation: 1/[n - (n-1)(1-a)^2], each image real with probability a; the
    same fixed subset, whose share is exactly p: (1-a)/[n(1-(1-a)^2) + (1-a)]. 1 for a = 0: in the
    end the class is lost or alone.
    """
    kept = 1 - a
    if fresh:
        return 1 / (n - (n - 1) * kept**2)
    return kept / (n * (1 - kept**2) + kept)


def real_fraction_chi_square(n: int, a: float, fresh: bool, classes: int) -> float:
    """Stationary expectation of sum_k (x_k - p_k)^2 / p_k over K classes: (K-1) V/(pq)."""
    return (classes - 1) * real_fraction_variance(n, a, fresh)


def no_copy(n: int, p: float, a: float, k: int) -> float:
    """Chance that generation k's training set has no image of a class with n p real copies.

    Branching with immigration: each copy in one training set leaves Poisson(1 - a) in the next, to
    which Poisson(a n p) fresh real ones come. Generation 0 is the real training set itself.
    """
    copy, arrivals = 0.0, 0.0
    for _ in range(k):
        arrivals += a * n * p * (copy - 1)
        copy = math.exp((1 - a) * (copy - 1))
    return math.exp(arrivals) * copy ** (n * p)
