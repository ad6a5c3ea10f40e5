"""Kernel distance (KID): the unbiased squared maximum mean discrepancy of features.

Kernel (x·y / D + 1)^3: Bińkowski et al. 2018, arXiv:1801.01401, section 4. The estimate is a
two-sample U-statistic, so its variance has a closed form: Sutherland et al. 2017,
arXiv:1611.04488, equation 5, here for sides of any size and without pairing them.
"""

from __future__ import annotations

from math import sqrt
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from imgcollapse.core.estimate import Estimate, nonfinite_reason, t_interval, undefined
from imgcollapse.metrics.base import MetricInfo, SampleMetric

_BLOCK = 1 << 19  # kernel entries at a time: 4 MiB, which stay near the core while they are summed


class Gram(NamedTuple):
    """Sums over a kernel matrix float64[n, m]; over pairs i != j where both sides are one set."""

    rows: Tensor
    columns: Tensor
    squares: float
    total: float


def gram(x: Tensor, y: Tensor | None = None) -> Gram:
    """Take the sums over float[n, D], or between them and float[m, D], block by block."""
    other = x if y is None else y
    # x.y / D + 1 as one product of vectors that are longer by one.
    x, other = (
        F.pad(x.double() / x.shape[1], (0, 1), value=1.0),
        F.pad(other.double(), (0, 1), value=1.0),
    )
    rows, columns, squares = [], torch.zeros_like(other[:, 0]), 0.0
    step = max(1, _BLOCK // max(1, len(other)))
    for start in range(0, len(x), step):
        block = (x[start : start + step] @ other.T).pow_(3)
        if y is None:
            block.diagonal(start).zero_()
        rows.append(block.sum(1))
        if y is not None:
            columns += block.sum(0)
        flat = block.flatten()
        squares += float(flat @ flat)
    sums = torch.cat(rows)
    return Gram(sums, sums if y is None else columns, squares, float(sums.sum()))


def kid(
    real: Tensor, generated: Tensor, interval: bool = True, within: Gram | None = None
) -> Estimate:
    """Kernel distance of float[m, D] and float[n, D] features with its 95% interval.

    The interval carries the sampling of both sides. `within` is `gram(real)`, where known already.
    """
    m, n = len(real), len(generated)
    if min(m, n) < 2:
        return undefined("needs two images on each side")
    if reason := nonfinite_reason(real, generated):
        return undefined(reason)
    x, y = real.double(), generated.double()
    xx, yy, xy = within or gram(x), gram(y), gram(x, y)
    value = xx.total / (m * (m - 1)) + yy.total / (n * (n - 1)) - 2 * xy.total / (m * n)
    if min(m, n) < 4 or not interval:
        return Estimate(value)
    # Hoeffding: first-order terms are the variances of each image's mean over the others; they hold
    # some of the second-order terms, twice or in full, which is taken off again.
    second_x = 2 * _degenerate(xx) / (m * (m - 1))
    second_y = 2 * _degenerate(yy) / (n * (n - 1))
    cross = 4 * _degenerate_cross(xy) / (m * n)
    first_x = 4 * float((xx.rows / (m - 1) - xy.rows / n).var()) / m
    first_y = 4 * float((yy.rows / (n - 1) - xy.columns / m).var()) / n
    second = max(0.0, second_x + second_y + cross)
    variance = max(second, first_x + first_y - second_x - second_y - cross)
    # Rounding of the kernel's own size is not a spread.
    scale = abs(xx.total) / (m * (m - 1)) + abs(yy.total) / (n * (n - 1))
    error = sqrt(variance)
    return t_interval(value, error if error > 1e-12 * scale else 0.0)


class KernelDistance(SampleMetric):
    """Kernel distance of streamed features: KID, where the features are Inception's.

    >>> import torch
    >>> metric = KernelDistance()
    >>> metric.update(torch.tensor([[0.0], [0.0]]), real=True)
    >>> metric.update(torch.tensor([[1.0], [1.0]]), real=False)
    >>> metric.compute().value  # 1 + (1 + 1)^3 - 2
    7.0
    """

    infos: ClassVar = (
        MetricInfo(
            "kid",
            "KID",
            "KID to real images",
            higher_is_better=False,
            per_class=True,
            compared=True,
        ),
    )
    two_sample = True

    def compute(self) -> Estimate:
        """The distance with its 95% interval."""
        real, generated = self.both()
        within = self.once(gram, real) if len(real) > 1 else None
        return kid(real, generated, interval=self.interval, within=within)


def _degenerate(gram: Gram) -> float:
    """Mean square of the doubly centered kernel, unbiased: Székely & Rizzo 2014, equation 3.2."""
    n, rows = len(gram.rows), gram.rows
    total = gram.squares - 2 * float(rows.square().sum()) / (n - 2)
    return max(0.0, (total + gram.total**2 / ((n - 1) * (n - 2))) / (n * (n - 3)))


def _degenerate_cross(gram: Gram) -> float:
    m, n = len(gram.rows), len(gram.columns)
    total = gram.squares - float(gram.rows.square().sum()) / n
    total += gram.total**2 / (m * n) - float(gram.columns.square().sum()) / m
    return max(0.0, total / ((m - 1) * (n - 1)))
