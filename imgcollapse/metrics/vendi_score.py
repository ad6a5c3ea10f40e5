"""Vendi score: the effective number of different images.

The exponential of the entropy of the eigenvalues of K / n, K the cosine similarities of features:
Friedman & Dieng 2023, arXiv:2210.02410, definition 3.1. One for copies of one image, n for n images
that have nothing in common.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, nonfinite_reason, t_interval, undefined
from imgcollapse.metrics.base import MetricInfo, SampleMetric


def vendi(features: Tensor) -> Estimate:
    """Vendi score of float[n, D] features with a 95% interval; its floor is that of n real images.

    K / n and the D x D matrix rho of mean outer products have the same eigenvalues above 0. The
    standard error is the infinitesimal jackknife's: image x moves the entropy by -xᵀ log(rho) x
    less its mean.
    """
    n = len(features)
    if n == 0:
        return undefined("needs an image")
    if reason := nonfinite_reason(features):
        return undefined(reason)
    length = features.double().norm(dim=1, keepdim=True)
    if bool((length == 0).any()):
        return undefined("the features of an image are all zero, so it has no direction")
    unit = features.double() / length
    values, vectors = torch.linalg.eigh(unit.T @ unit / n)
    present = values > len(values) * torch.finfo(torch.float64).eps
    values, vectors = values[present], vectors[:, present]
    score = float(torch.special.entr(values).sum().exp())
    if n == 1:
        return Estimate(score)
    surprise = -((unit @ vectors).square() @ values.log())
    error = score * float(surprise.std() / n**0.5)
    # Below rounding all images look alike, and nothing is known of their spread.
    return t_interval(score, error if error > 1e-12 else 0.0, n - 1, (1.0, float(n)))


class Vendi(SampleMetric):
    """Vendi score of streamed features: the effective number of different images.

    >>> import torch
    >>> metric = Vendi()
    >>> metric.update(torch.eye(3))
    >>> round(metric.compute().value, 6)  # three images that have nothing in common
    3.0
    """

    infos: ClassVar = (
        MetricInfo(
            *("vendi", "Vendi score", "Vendi score: effective number of samples"),
            higher_is_better=True,
            limits=(1.0, math.inf),
            per_class=True,
        ),
    )

    def compute(self) -> Estimate:
        """The score with its 95% interval."""
        return vendi(self.ordered(dim_zero_cat(self.generated)))
