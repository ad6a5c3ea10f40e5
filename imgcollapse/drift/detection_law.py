"""What a detector of synthetic images does to drift when real and synthetic ones are mixed.

One generation: n real images, always the same, and N samples of the last model are offered; the
detector takes away a share of either, without looking at classes; a perfect learner learns the
R real and B synthetic images that are left. Given R and B this is Wright's island model with
migration R/(R+B) and effective size R+B, as with a fixed real subset in `real_fraction_variance`:
B draws from the last shares x move them by (x-p_R)^2 -> (1-a)^2 [x(1-x)/B + (x-p_R)^2].

A detector that finds all synthetic images leaves the real sample alone. As the real share of what
is offered vanishes, a detector is of use only as far as its misses vanish with it: a stays away
from 0 only while N (1-tpr) is of the order of n. (The statement is Kanabar & Gastpar's, 2026; the
formula for this loop is derived here.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom


def detection_variance(
    n: int, samples: int, tpr: float, fpr: float, generations: int
) -> NDArray[np.float64]:
    """E sum_k (x_k - r_k)^2 over sum_k p_k (1 - p_k) in training sets 1..G: float64[G], exact.

    x are the shares in the training set, r those of the real images that are left, p those of all
    real ones. With c_1 = E[B/(R+B)^2] and c_2 = E[B^2/(R+B)^2], V_1 = 0 and
    V_{t+1} = c_1 (1 - V_t) + c_2 V_t in units of sum r (1 - r), which n (R-1)/(R (n-1)) turns into
    those of sum p (1 - p); B ~ Binomial(N, 1 - tpr), and in the mean R ~ Binomial(n, 1 - fpr).

    Args:
        n: real images.
        samples: N, synthetic images offered in each generation.
        tpr: share of the synthetic images that is taken away.
        fpr: share of the real ones, once and for all.
        generations: G.
    """
    left, weight = _likely(n, 1 - fpr)
    born, chance = _likely(samples, 1 - tpr)
    left, weight = left[left > 0], weight[left > 0]
    total = left[:, None] + born
    drawn = (born / total**2) @ chance
    kept = (born / total) ** 2 @ chance
    spread = n * (left - 1) / (left * max(n - 1, 1))
    course, v = np.zeros(generations), np.zeros(len(left))
    for t in range(generations):
        course[t] = (weight * spread) @ v
        v = drawn * (1 - v) + kept * v
    return course


def detection_variance_limit(n: int, samples: int, tpr: float, fpr: float) -> float:
    """What the variance of `detection_variance` settles at, with R and B at their means.

    (1-a)/[M (1-(1-a)^2) + (1-a)] with M = R + B and a = R/M: T6's fixed real subset.
    """
    real, born = n * (1 - fpr), samples * (1 - tpr)
    stays = born / (real + born)
    return stays / ((real + born) * (1 - stays**2) + stays)


def _likely(n: int, p: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of Binomial(n, p) that are not hopelessly rare, and their chances."""
    low, high = binom.ppf([1e-15, 1 - 1e-15], n, p)
    values = np.arange(max(low, 0), high + 1)
    return values, binom.pmf(values, n, p)
