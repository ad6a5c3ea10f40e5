"""Closed-form laws of model collapse and genetic drift, each with its formula and its paper.

All of them are about a perfect learner: a model whose samples are independent draws from the class
shares of its training set. One generation is:

1. a training set of n images is composed;
2. its class shares P are counted;
3. n images are drawn from P, independently: the next generation.

Symbols: n, images of a generation; p, a class's share among the real images and q = 1 - p; m = n p,
its copies; K, classes; a, the share of real images in a training set; t and k, generations; H, the
heterozygosity 1 - sum p^2. Shares and probabilities have no unit; times are in generations.

The exact Wright-Fisher chain, which needs a linear solver, is in `drift.wright_fisher`.
`imgcollapse validate` compares these laws with this program's own parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count, islice

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.special import gammaln, xlogy
from scipy.stats import binom

Array = NDArray[np.float64]

_SUMMED = 4000
"""Generations summed one by one before the tail of an infinite sum is integrated."""


# Survival of a rare class when generations replace each other: the branching approximation.
# A class of m copies has Binomial(n, m/n), about Poisson(m), copies in the next generation, each of
# them the founder of its own Galton-Watson branch with Poisson(1) offspring. Suresh, Thangaraj &
# Khandavally 2024, arXiv:2412.17646; Kolmogorov 1938 for 2/k.


def _recursion() -> Iterator[float]:
    g = 1.0
    while True:
        yield g
        g = -math.expm1(-g)


def survival_recursion(k: int) -> float:
    """Returns g_k of g_1 = 1, g_{k+1} = 1 - exp(-g_k), about 2/k; k >= 1.

    exp(-g_k) is the probability that the branch of one copy is lost after k generations.
    """
    return next(islice(_recursion(), k - 1, None))


def survival(n: float, p: ArrayLike, k: int) -> Array:
    """Probability that classes of share p [K] among n images survive k generations: float64[K].

    1 - exp(-n p g_k), a lower bound that is nearly exact (Suresh et al. 2024).
    """
    expected = n * np.asarray(p, dtype=np.float64)
    return -np.expm1(-expected * survival_recursion(k)) if k else (expected > 0).astype(float)


def classes_lost(n: float, p: ArrayLike, k: int) -> float:
    """Expected number of the classes of share p [K] that are lost after k generations."""
    there = np.asarray(p, dtype=np.float64)
    there = there[there > 0]
    return float((1 - survival(n, there, k)).sum())


def median_loss(m: float) -> int:
    """Median number of generations until a class of m copies is lost: about 2.9 m."""
    return next(k for k, g in zip(count(1), _recursion(), strict=False) if m * g <= math.log(2))


def first_extinction(n: float, p: ArrayLike, k: int) -> float:
    """Pr(T > k): the probability that all classes of share p [K] survive k generations.

    prod_i (1 - exp(-n p_i g_k)), as if classes did not compete (Suresh et al. 2024).
    """
    there = np.asarray(p, dtype=np.float64)
    return float(np.prod(survival(n, there[there > 0], k)))


def first_extinction_mean(n: float, p: ArrayLike) -> float:
    """Mean generation of the first extinction among classes of share p [K]: sum_{k>=0} Pr(T > k).

    Infinite for fewer than two classes: the only class cannot be lost, and the approximation's
    tail, about prod_i (2 n p_i / k), has a finite sum only for two or more.
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
    """Probability that a class with one copy among n images has none in the next: (1 - 1/n)^n."""
    return (1 - 1 / n) ** n


# One class against all others as a diffusion. Kimura & Ohta 1969, doi:10.1093/genetics/61.3.763,
# for haploids. Some per cent too long where n p is small.


def absorption_time(n: float, p: float) -> float:
    """Expected generations until a class of share p is lost or fixed: -2n (p ln p + q ln q)."""
    return float(-2 * n * (xlogy(p, p) + xlogy(1 - p, 1 - p)))


def loss_time(n: float, p: float) -> float | None:
    """Expected generations until a class of share p is lost, given that it is: -2n p ln p / q.

    None for p = 1: the only class is never lost.
    """
    return None if p == 1 else abs(float(2 * n * xlogy(p, p) / (1 - p)))


# Heterozygosity, the probability that two images differ in class. Two of n draws from shares P
# differ with probability H(P), and are different draws with probability 1 - 1/n, so that
# E[H of the n] = H(P) (1 - 1/n). Wright 1931, doi:10.1093/genetics/16.2.97.


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
    """E[H] of generation t alone when all are kept: H_0 prod_{s=1}^{t} (1 - 1/(n s^2)).

    Generation t is n draws from the pool of those before it, so 1 - 1/n times the pool's H.
    """
    return h0 if t == 0 else float((1 - 1 / n) * heterozygosity_accumulate_pool(h0, n, t - 1))


def heterozygosity_accumulate_limit(h0: float, n: int) -> float:
    """Limit of E[H] of a generation when all are kept: H_0 sin(pi/sqrt(n)) / (pi/sqrt(n)).

    Euler's product for the sine. The pool's own limit is this over 1 - 1/n, and n >= 2.
    """
    return h0 * float(np.sinc(1 / math.sqrt(n)))


# A share a of real images in every training set, the rest samples of the last model. With fresh
# real images this is Wright's island model (Wright 1931), and a is the share of migrants.


def real_fraction_variance(n: int, a: float, fresh: bool) -> float:
    """Stationary variance of a class's share in the training set over p q.

    Fresh real images each generation: 1/[n - (n-1)(1-a)^2], each image real with probability a; the
    same fixed subset, whose share is exactly p: (1-a)/[n(1-(1-a)^2) + (1-a)]. 1 for a = 0: in the
    end the class is lost or fixed.
    """
    kept = 1 - a
    if fresh:
        return 1 / (n - (n - 1) * kept**2)
    return kept / (n * (1 - kept**2) + kept)


def real_fraction_chi_square(n: int, a: float, fresh: bool, classes: int) -> float:
    """Stationary expectation of sum_k (x_k - p_k)^2 / p_k over K classes: (K-1) V/(pq)."""
    return (classes - 1) * real_fraction_variance(n, a, fresh)


def no_copy(n: int, p: float, a: float, k: int) -> float:
    """Probability that generation k's training set has no image of a class of n p real copies.

    Branching with immigration: each copy in one training set leaves Poisson(1 - a) in the next, to
    which Poisson(a n p) fresh real ones come. Generation 0 is the real training set itself.
    """
    copy, arrivals = 0.0, 0.0
    for _ in range(k):
        arrivals += a * n * p * (copy - 1)
        copy = math.exp((1 - a) * (copy - 1))
    return math.exp(arrivals) * copy ** (n * p)


# A detector of synthetic images. One generation: n real images, always the same, and N samples of
# the last model are offered; the detector removes a share of either without looking at classes; the
# R real and B synthetic images that are left are the training set. Given R and B this is the island
# model with migration R/(R+B) and size R+B: B draws from the last shares x move them by
# (x-p_R)^2 -> (1-a)^2 [x(1-x)/B + (x-p_R)^2]. Kanabar & Gastpar 2026 state that a detector helps
# only if its misses N (1-tpr) stay of the order of n as the real share vanishes; the formula for
# this loop is derived here.


def detection_variance(n: int, samples: int, tpr: float, fpr: float, generations: int) -> Array:
    """E sum_k (x_k - r_k)^2 over sum_k p_k (1 - p_k) in training sets 1..G: float64[G], exact.

    x are the shares in the training set, r those of the real images that are left, p those of all n
    real ones. With c_1 = E[B/(R+B)^2] and c_2 = E[B^2/(R+B)^2], V_1 = 0 and
    V_{t+1} = c_1 (1 - V_t) + c_2 V_t in units of sum r (1 - r), which n (R-1)/(R (n-1)) turns into
    those of sum p (1 - p). Of N samples offered in each generation B ~ Binomial(N, 1 - tpr) are
    left, averaged over the real ones left once for all, R ~ Binomial(n, 1 - fpr).
    """
    real, weight = _binomial(n, 1 - fpr)
    synthetic, chance = _binomial(samples, 1 - tpr)
    real, weight = real[real > 0], weight[real > 0]
    total = real[:, None] + synthetic
    drawn = (synthetic / total**2) @ chance
    kept = (synthetic / total) ** 2 @ chance
    unit = n * (real - 1) / (real * max(n - 1, 1))
    variances, v = np.zeros(generations), np.zeros(len(real))
    for t in range(generations):
        variances[t] = (weight * unit) @ v
        v = drawn * (1 - v) + kept * v
    return variances


def _binomial(n: int, p: float) -> tuple[Array, Array]:
    """Values of Binomial(n, p) and their probabilities, without the outermost 1e-15 either side."""
    low, high = binom.ppf([1e-15, 1 - 1e-15], n, p)
    values = np.arange(max(low, 0), high + 1)
    return values, binom.pmf(values, n, p)


# Curation by preference. One generation: K samples are drawn from shares p; one of them is kept by
# a Bradley-Terry choice, that is with probability proportional to exp(reward); the next model
# learns the kept ones. Ferbach et al. 2024, arXiv:2407.09499.


def preference_step(p: ArrayLike, r: ArrayLike) -> Array:
    """Class shares after one choice as K grows: proportional to p exp(r); all float64[classes]."""
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
    """Upper bound of KL(p_t || p_real) in nats when every training set has real images.

    -ln(1 - ratio (K-1)), with `ratio` (lambda) the curated samples over the real ones; None for
    ratio >= 1/(K-1), where there is no bound.
    """
    left = 1 - ratio * (k - 1)
    return -math.log(left) if left > 0 else None


# A Gaussian fitted to n of its own samples, again and again. One generation: n draws from
# N(mean, sigma^2), then mean and sigma^2 become their mean and their unbiased variance. In units of
# the first sigma. Shumailov et al. 2024, doi:10.1038/s41586-024-07566-y; Suresh et al. 2024,
# arXiv:2412.17646.


def gaussian_mean_variance(k: int, n: int) -> float:
    """Variance, over lineages, of a sample of the k-th model: 1 + k/n.

    k/n is the variance of the k-th model's mean; 1 is E[sigma_k^2], which does not change.
    """
    return 1 + k / n


def gaussian_sigma(k: int, n: int) -> float:
    """E[sigma_k] = a^k, a = E[chi_{n-1}] / sqrt(n-1); n >= 2.

    sigma_{k+1} / sigma_k is chi_{n-1} / sqrt(n-1), independent of all before.
    """
    log_mean_chi = math.log(2) / 2 + float(gammaln(n / 2) - gammaln((n - 1) / 2))
    return math.exp(k * (log_mean_chi - math.log(n - 1) / 2))


def gaussian_tail_bound(k: int, n: int, e: float) -> float:
    """Upper bound of Pr(sigma_k > e): exp(-k / (4n - 1)) / e (Suresh et al. 2024)."""
    return min(1.0, math.exp(-k / (4 * n - 1)) / e)


# Linear regression on its own labels. One generation: the last fit labels T points of dimension d,
# isotropic Gaussian, with noise of variance sigma^2, and least squares fits these labels
# (`replace`) or all labels so far (`accumulate`). Errors are E|w_t - w*|^2. Dohmatob et al. 2024,
# arXiv:2402.07712; Gerstgrasser et al. 2024, arXiv:2404.01413.


def regression_once(points: int, dimension: int, noise: float) -> float:
    """Error of one fit to T points: sigma^2 d / (T - d - 1), with T >= d + 2 and noise sigma^2."""
    return noise * dimension / (points - dimension - 1)


def regression_replace(points: int, dimension: int, noise: float, t: int) -> float:
    """Error of the t-th fit when labels are replaced: t times that of one fit."""
    return t * regression_once(points, dimension, noise)


def regression_accumulate(points: int, dimension: int, noise: float, t: int) -> float:
    """Error of the t-th fit when all labels are kept: sum_{s=1}^{t} 1/s^2 times that of one."""
    s = np.arange(1, t + 1, dtype=np.float64)
    return float((1 / s**2).sum()) * regression_once(points, dimension, noise)


def regression_accumulate_bound(points: int, dimension: int, noise: float) -> float:
    """Upper bound of `regression_accumulate` for every t: pi^2/6 times the error of one fit."""
    return math.pi**2 / 6 * regression_once(points, dimension, noise)
