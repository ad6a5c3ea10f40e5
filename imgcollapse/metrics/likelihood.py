"""Bits per dimension: how well a model predicts real images that it has not seen."""

from __future__ import annotations

from typing import ClassVar

from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, t_interval, undefined
from imgcollapse.metrics.base import NONNEGATIVE, MetricInfo, SampleMetric


class BitsPerDim(SampleMetric):
    """Mean code length of held-out real images under a model, with its 95% interval.

    The cross-entropy of the model; perplexity per dimension is 2 to the power of it. The interval
    is that of another reference set: models measured on the same images share its luck.

    >>> import torch
    >>> metric = BitsPerDim()
    >>> metric.update(torch.tensor([1.0, 3.0]))
    >>> metric.compute().value
    2.0
    """

    infos: ClassVar = (
        MetricInfo(
            *("bits_per_dim", "bits per dimension", "Bits per dimension of held-out real images"),
            higher_is_better=False,
            limits=NONNEGATIVE,
            has_floor=False,
        ),
    )
    inputs = "bits"

    def compute(self) -> Estimate:
        """The mean with its 95% interval."""
        bits = dim_zero_cat(self.generated)
        n = len(bits)
        if n > 1:
            return t_interval(float(bits.mean()), float(bits.std()) / n**0.5, n - 1, NONNEGATIVE)
        return Estimate(float(bits)) if n else undefined("there are no held-out images")
