"""A Gaussian that is fitted to n of its own samples, again and again.

One generation: n draws from N(mean, sigma^2), then mean = their mean and sigma^2 = their unbiased
variance. Shumailov et al. 2024, doi:10.1038/s41586-024-07566-y; Suresh et al. 2024,
arXiv:2412.17646. Everything here is in units of the first sigma.
"""

from __future__ import annotations

import math

from scipy.special import gammaln


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
    """An upper bound of Pr(sigma_k > e): exp(-k / (4n - 1)) / e (Suresh et al. 2024)."""
    return min(1.0, math.exp(-k / (4 * n - 1)) / e)
