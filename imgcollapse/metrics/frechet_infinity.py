"""FID-infinity: the Fréchet distance that is left when n goes to infinity.

The bias of the distance is linear in 1/n to first order, so a line through distances at several n
meets 1/n = 0 at the distance of the distributions: Chong & Forsyth 2020, arXiv:1911.07023. Here
both sides are taken at the same n, so the bias of both goes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, nonfinite_reason, t_interval, undefined
from imgcollapse.metrics.base import MetricInfo, TwoSampleMetric
from imgcollapse.metrics.frechet import Gaussian, distance, influence

POINTS = 15
"""Sizes at which the distance is taken, as in the paper."""
PER_DIMENSION = 2
"""Images a dimension at the smallest size: below, the bias is not linear in 1/n."""


def fid_infinity(real: Tensor, generated: Tensor, interval: bool = True) -> Estimate:
    """Extrapolate the distance of float64[m, D] and float64[n, D] features in random order.

    The standard error joins the regression's error of the intercept and the sampling error of both
    sides at full n: the sizes share their images, so the first alone would be too small.

    Args:
        real: float[m, D].
        generated: float[n, D].
        interval: whether to compute the interval too.
    """
    n, width = min(len(real), len(generated)), generated.shape[1]
    smallest = max(PER_DIMENSION * width, 2)
    if n < 2 * smallest:
        return undefined(f"needs {2 * smallest} images on each side, {n} are there")
    if reason := nonfinite_reason(real, generated):
        return undefined(reason)
    sizes = torch.linspace(smallest, n, POINTS).round().long().tolist()
    values = torch.tensor([_between(real, generated, n, i, size) for i, size in enumerate(sizes)])
    x = 1 / torch.tensor(sizes, dtype=torch.float64)
    off = x - x.mean()
    slope = (off @ values.double()) / (off @ off)
    value = float(values.mean() - slope * x.mean())
    if not interval:
        return Estimate(value)
    residual = values - values.mean() - slope * off
    scatter = residual.square().sum() / (POINTS - 2)
    regression = scatter * (1 / POINTS + x.mean().square() / (off @ off))
    sampling = sum(
        _standard_error(one[:n], other[:n]) ** 2
        for one, other in ((real, generated), (generated, real))
    )
    return t_interval(value, float(regression + sampling) ** 0.5)


class FrechetInfinity(TwoSampleMetric):
    """`fid_infinity` of streamed features; equal n on both sides, the rest is left out.

    The intercept of a line through (1/n, Fréchet distance at n): Chong & Forsyth 2020,
    arXiv:1911.07023.

    >>> import torch
    >>> real, other = torch.randn(2, 400, 16, generator=torch.Generator().manual_seed(0))
    >>> metric = FrechetInfinity()
    >>> metric.update(real, real=True)
    >>> metric.update(other + 0.5, real=False)
    >>> found = metric.compute()
    >>> found.low < 4 < found.high  # each of 16 means is 0.5 apart
    True
    """

    # Its floor is about 0 and would cover that of the FID in the same chart.
    infos: ClassVar = (
        MetricInfo(
            "fid_infinity",
            "FID∞",
            "FID to real images",
            higher_is_better=False,
            own_title="FID∞ to real images",
            draws_floor=False,
        ),
    )
    higher_is_better = False

    def compute(self) -> Estimate:
        """The extrapolated distance with its 95% interval."""
        return fid_infinity(*self.both(), interval=self.interval)


def _standard_error(real: Tensor, generated: Tensor) -> float:
    _, error = influence(Gaussian.of(real), generated)
    return error


def _between(real: Tensor, generated: Tensor, n: int, point: int, size: int) -> float:
    """The distance at `size` images, each point beginning elsewhere in the n of each side."""
    rows = (torch.arange(size, device=real.device) + point * n // POINTS) % n
    return distance(Gaussian.of(real[rows]), Gaussian.of(generated[rows]))
