"""How heterozygosity H = 1 - sum p_i^2, the chance that two images differ in class, falls.

A perfect learner draws n images from its training set's shares P. Two of them differ in class with
probability H(P), and no two draws are the same one: E[H of the n] = H(P) (1 - 1/n) (Wright 1931).
"""

from __future__ import annotations

import math

import numpy as np


def heterozygosity_replace(h0: float, n: int, t: int) -> float:
    """E[H] of generation t when each generation replaces the last: H_0 (1 - 1/n)^t."""
    return h0 * (1 - 1 / n) ** t


def heterozygosity_accumulate_pool(h0: float, n: int, t: int) -> float:
    """E[H] of generations 0 to t together, n images each: H_0 prod_{s=2}^{t+1} (1 - 1/(n s^2)).

    Generation t moves the shares of the pool by 1/(t+1) of its own sampling error.
    """
    s = np.arange(2, t + 2, dtype=np.float64)
    return h0 * float(np.prod(1 - 1 / (n * s**2)))


def heterozygosity_accumulate(h0: float, n: int, t: int) -> float:
    """E[H] of generation t alone when all is kept: H_0 prod_{s=1}^{t} (1 - 1/(n s^2)).

    Generation t is n draws from the pool of those before it, so 1 - 1/n times the pool's H.
    """
    return h0 if t == 0 else float((1 - 1 / n) * heterozygosity_accumulate_pool(h0, n, t - 1))


def heterozygosity_accumulate_limit(h0: float, n: int) -> float:
    """E[H] of a generation when all is kept for ever: H_0 sin(pi/sqrt(n)) / (pi/sqrt(n)).

    Euler's product for the sine. The pool's own limit is this over 1 - 1/n, and n >= 2.
    """
    return h0 * float(np.sinc(1 / math.sqrt(n)))
