"""Fréchet distance between Gaussians fitted to features, and its limit for many images.

d^2 = |m_r - m_g|^2 + tr C_r + tr C_g - 2 tr (C_r C_g)^{1/2}: Heusel et al. 2017, arXiv:1706.08500,
equation 6; Dowson & Landau 1982. With C_r = F Fᵀ the eigenvalues of C_r C_g are those of Fᵀ C_g F,
which is symmetric and positive semidefinite: they are real and come from a symmetric solver.

FID-infinity: the bias of the distance is linear in 1/n to first order, so a line through distances
at several n meets 1/n = 0 at the distance of the distributions: Chong & Forsyth 2020,
arXiv:1911.07023. Here both sides are taken at the same n, so the bias of both goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import get_blas_funcs, get_lapack_funcs
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, nonfinite_reason, t_interval, undefined
from imgcollapse.metrics.base import NONNEGATIVE, MetricInfo, SampleMetric

(_SYRK,) = get_blas_funcs(("syrk",), dtype=np.float64)
(_SYGST,) = get_lapack_funcs(("sygst",), dtype=np.float64)
SMALL = 512
TOO_FEW = "a covariance needs two images on each side"


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of n >= 2 features, unbiased; its factor is computed once.

    Where n <= D the centered features over sqrt(n - 1), `deviations`, are kept, float64[n, D]: the
    covariance is of low rank and never written out unless asked for. Else it is `full`.
    """

    mean: Tensor
    deviations: Tensor | None = None
    full: Tensor | None = None

    @staticmethod
    def of(features: Tensor) -> Gaussian:
        """Fit to float[n, D] features."""
        n, width = features.shape
        mean = features.double().mean(0)
        deviations = (features.double() - mean) / (n - 1) ** 0.5
        if n <= width:
            return Gaussian(mean, deviations)
        # Half of a symmetric product is enough; numpy's transpose of rows is Fortran's order.
        lower = torch.from_numpy(_SYRK(1.0, deviations.cpu().numpy().T, lower=1))
        full = lower.tril() + lower.tril(-1).T
        return Gaussian(mean, full=full.to(mean.device))

    @staticmethod
    def of_moments(moments: Tensor) -> Gaussian:
        """Fit to the sum of (1, x)ᵀ(1, x) over n features x: float64[D + 1, D + 1]."""
        n, total = float(moments[0, 0]), moments[0, 1:]
        mean = total / n
        return Gaussian(mean, full=(moments[1:, 1:] - torch.outer(total, mean)) / (n - 1))

    @cached_property
    def covariance(self) -> Tensor:
        """float64[D, D]."""
        if self.deviations is None:
            assert self.full is not None
            return self.full
        return self.deviations.T @ self.deviations

    @cached_property
    def variance(self) -> float:
        """Trace of the covariance."""
        if self.deviations is None:
            return float(self.covariance.trace())
        return float(self.deviations.square().sum())

    @cached_property
    def factor(self) -> Tensor:
        """F, float64[D, R] with F Fᵀ = C: Cholesky's, or the symmetric root where C is singular."""
        if self.deviations is not None:
            return self.deviations.T
        lower, failed = torch.linalg.cholesky_ex(self.covariance)
        if not failed:
            return lower
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * _above_rounding(values).sqrt()) @ vectors.T


def distance(real: Gaussian, generated: Gaussian) -> float:
    """Squared Fréchet distance; with n <= D on a side it costs n^2 D, not D^3."""
    if real.deviations is not None and generated.deviations is not None:
        # tr (AᵀA BᵀB)^{1/2} is the sum of the singular values of A Bᵀ.
        overlap = torch.linalg.svdvals(real.deviations @ generated.deviations.T).sum()
    elif generated.deviations is not None:
        seen = generated.deviations @ real.factor
        overlap = _above_rounding(torch.linalg.eigvalsh(seen @ seen.T)).sqrt().sum()
    else:
        overlap = _above_rounding(_product_spectrum(real, generated)).sqrt().sum()
    apart = float((real.mean - generated.mean).square().sum())
    # Below zero only by rounding, when both sides are the same.
    return max(0.0, apart + real.variance + generated.variance - 2 * float(overlap))


def _product_spectrum(real: Gaussian, generated: Gaussian) -> Tensor:
    """Eigenvalues of C_r C_g, ascending."""
    factor = real.factor
    # Below some hundred features SciPy's own threads cost more than they save.
    small = len(factor) < SMALL
    if small or factor.shape[1] < len(factor) or bool(factor.triu(1).any()):
        return torch.linalg.eigvalsh(factor.T @ generated.covariance @ factor)
    # LAPACK forms Lᵀ C L in a quarter of the operations of two products.
    sides = generated.covariance.cpu().numpy().T, factor.cpu().numpy()
    product, _ = _SYGST(*sides, itype=2, lower=1)
    return torch.linalg.eigvalsh(torch.from_numpy(product))


def fid(real: Tensor | Gaussian, generated: Tensor) -> Estimate:
    """Fréchet distance of float[n, D] generated features with a 95% interval, the real side fixed.

    `real` are float[m, D] features, or the Gaussian fitted to them. The interval is that of the
    value at this n, with its bias, which the floor beside it shares.
    """
    if len(generated) < 2 or (isinstance(real, Tensor) and len(real) < 2):
        return undefined(TOO_FEW)
    if reason := nonfinite_reason(generated, real.mean if isinstance(real, Gaussian) else real):
        return undefined(reason)
    real = Gaussian.of(real) if isinstance(real, Tensor) else real
    value, error = influence(real, generated)
    return t_interval(value, error, len(generated) - 1, NONNEGATIVE)


def influence(real: Gaussian, generated: Tensor) -> tuple[float, float]:
    """Fréchet distance of float[n, D] features and its standard error, the real side fixed.

    The error is the infinitesimal jackknife's: a generated x, less the mean, moves the distance by
    2 (m_g - m_r)·x + |x|^2 - xᵀ T x, where T = F (Fᵀ C_g F)^{-1/2} Fᵀ is the
    optimal transport map from the generated to the real Gaussian.
    """
    n = len(generated)
    mean = generated.double().mean(0)
    moved = generated.double() - mean
    seen = moved @ real.factor
    if n <= seen.shape[1]:
        values, vectors = torch.linalg.eigh(seen @ seen.T / (n - 1))
        roots = _above_rounding(values).sqrt()
        transported = (n - 1) * (vectors.square() @ roots)
    else:
        values, vectors = torch.linalg.eigh(seen.T @ seen / (n - 1))
        roots = _above_rounding(values).sqrt()
        transported = (seen @ vectors).square() @ torch.where(roots > 0, 1 / roots, 0)
    moves = 2 * moved @ (mean - real.mean) + moved.square().sum(1) - transported
    apart = (mean - real.mean).square().sum() + moved.square().sum() / (n - 1)
    value = max(0.0, float(apart + real.variance - 2 * roots.sum()))
    return value, float(moves.std() / n**0.5)


class FrechetDistance(SampleMetric):
    """Fréchet distance of streamed features: FID, where the features are Inception's.

    The interval needs every feature vector. With `interval` set to False before the first batch,
    only sums of features and of their products are kept, in memory that does not grow with n.

    >>> import torch
    >>> metric = FrechetDistance()
    >>> metric.update(torch.tensor([[0.0], [1.0], [2.0]]), real=True)  # mean 1, variance 1
    >>> metric.update(torch.tensor([[2.0], [4.0], [6.0]]), real=False)  # mean 4, variance 4
    >>> round(metric.compute().value, 6)  # (4 - 1)^2 + (2 - 1)^2
    10.0
    """

    infos: ClassVar = (
        MetricInfo(
            *("fid", "FID", "FID to real images"),
            higher_is_better=False,
            limits=NONNEGATIVE,
            per_class=True,
            compared=True,
            sentinel="above-floor",
        ),
    )
    two_sample = True
    real_moments: list[Tensor]
    generated_moments: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("real_moments", default=[], dist_reduce_fx="cat")
        self.add_state("generated_moments", default=[], dist_reduce_fx="cat")

    def update(self, rows: Tensor, real: bool = False) -> None:
        """Take in float[N, D] features of generated, or of real images."""
        super().update(rows, real)
        if self.interval:
            return
        kept = self.real if real else self.generated
        moments = self.real_moments if real else self.generated_moments
        if not moments:  # so that every process that has images has a tensor to send
            moments.append(_moments(rows[:0]))
        # A single batch is kept: its covariance, from centered features, is more exact.
        if len(kept) > 1 and sum(map(len, kept)) > rows.shape[1]:
            moments[0] = moments[0] + _moments(torch.cat(kept))
            kept[:] = [rows[:0]]

    def compute(self) -> Estimate:
        """The distance, with its 95% interval where `interval` is set; the real side is fixed."""
        sides = self.both()
        states = self.real_moments, self.generated_moments
        sums = [dim_zero_cat(m).sum(0) if len(m) else torch.zeros(1, 1) for m in states]
        summed = [int(moments[0, 0]) for moments in sums]
        if any(n + len(rows) < 2 for n, rows in zip(summed, sides, strict=True)):
            return undefined(TOO_FEW)
        real, generated = sides
        if self.interval and not any(summed):
            return fid(self.once(Gaussian.of, real), generated)
        if reason := nonfinite_reason(*sides, *sums):
            return undefined(reason)
        fits = [
            Gaussian.of_moments(moments + _moments(rows)[0]) if n else Gaussian.of(rows)
            for n, rows, moments in zip(summed, sides, sums, strict=True)
        ]
        return Estimate(distance(*fits))


def _moments(features: Tensor) -> Tensor:
    """The sum of (1, x)ᵀ(1, x) over float64[n, D] features x: float64[1, D + 1, D + 1]."""
    rows = F.pad(features.double(), (1, 0), value=1.0)
    return (rows.T @ rows)[None]


def _above_rounding(eigenvalues: Tensor) -> Tensor:
    """Eigenvalues of a positive semidefinite matrix, with those that are only rounding set to 0.

    The root of a rounding error is no longer small: sqrt(2e-16) = 1.5e-8, D times over.
    """
    limit = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues[-1].abs()
    return torch.where(eigenvalues > limit, eigenvalues, 0)


POINTS = 15  # sizes at which the distance is taken, as in the paper
PER_DIMENSION = 2  # images a dimension at the smallest size: below, the bias is not linear in 1/n


def fid_infinity(real: Tensor, generated: Tensor, interval: bool = True) -> Estimate:
    """Extrapolate the distance of float[m, D] and float[n, D] features in random order.

    The standard error joins the regression's error of the intercept and the sampling error of both
    sides at full n: the sizes share their images, so the first alone would be too small.
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
    sides = (real[:n], generated[:n]), (generated[:n], real[:n])
    sampling = sum(influence(Gaussian.of(one), other)[1] ** 2 for one, other in sides)
    return t_interval(value, float(regression + sampling) ** 0.5)


class FrechetInfinity(SampleMetric):
    """`fid_infinity` of streamed features; equal n on both sides, the rest is left out.

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
            *("fid_infinity", "FID∞", "FID to real images"),
            higher_is_better=False,
            own_title="FID∞ to real images",
            draws_floor=False,
        ),
    )
    two_sample = True

    def compute(self) -> Estimate:
        """The extrapolated distance with its 95% interval."""
        return fid_infinity(*self.both(), interval=self.interval)


def _between(real: Tensor, generated: Tensor, n: int, point: int, size: int) -> float:
    """The distance at `size` images, each point beginning elsewhere in the n of each side."""
    rows = (torch.arange(size, device=real.device) + point * n // POINTS) % n
    return distance(Gaussian.of(real[rows]), Gaussian.of(generated[rows]))
