"""Linear regression that learns from its own labels.

One generation: the last fit labels T points of dimension d, isotropic Gaussian, with noise of
variance sigma^2, and least squares fits them (`replace`) or all labels so far (`accumulate`).
Errors are E|w_t - w*|^2. Dohmatob et al. 2024, arXiv:2402.07712; Gerstgrasser et al. 2024,
arXiv:2404.01413.
"""

from __future__ import annotations

import math

import numpy as np


def regression_once(points: int, dimension: int, noise: float) -> float:
    """Error of one fit to T points: sigma^2 d / (T - d - 1), with T >= d + 2 and noise sigma^2."""
    return noise * dimension / (points - dimension - 1)


def regression_replace(points: int, dimension: int, noise: float, t: int) -> float:
    """Error of the t-th fit when labels are replaced: t times that of one, without end."""
    return t * regression_once(points, dimension, noise)


def regression_accumulate(points: int, dimension: int, noise: float, t: int) -> float:
    """Error of the t-th fit when labels are kept: sum_{s=1}^{t} 1/s^2 times that of one."""
    s = np.arange(1, t + 1, dtype=np.float64)
    return float((1 / s**2).sum()) * regression_once(points, dimension, noise)


def regression_accumulate_bound(points: int, dimension: int, noise: float) -> float:
    """What the error stays under when labels are kept: pi^2/6 times that of one fit."""
    return math.pi**2 / 6 * regression_once(points, dimension, noise)
