"""Memorized share: samples that lie nearer to a training image than real images do.

A sample is memorized if its nearest real training image is nearer than that of all but a `quantile`
of held-out real images: so the share among real images is known, j / (M + 1), where j of the M lie
within the threshold. The distance is Euclidean on pixels: features that ignore what a classifier
need not see call any two images of a class near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from scipy.stats import betabinom
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, undefined, wilson_interval
from imgcollapse.metrics.base import SHARE, Estimates, MetricInfo, SampleMetric

if TYPE_CHECKING:
    from imgcollapse.metrics.registry import MetricSettings

_BLOCK = 1 << 22


def nearest(pixels: Tensor, training: Tensor) -> Tensor:
    """Squared distance of uint8[N, ...] images to the nearest of uint8[L, ...]: float64[N].

    In units of 1/255: sums of whole numbers, so exact, and a copy is at distance 0.
    """
    x, y = (images.flatten(1).double() for images in (pixels, training))
    size, step = y.square().sum(1), max(1, _BLOCK // len(y))
    parts = [(size - 2 * part @ y.T).min(1).values for part in x.split(step)] if len(x) else [x[:0]]
    return torch.cat(parts).flatten() + x.square().sum(1)


class MemorizedShare(SampleMetric):
    """Memorized share of streamed images, given as distances to their nearest training image.

    >>> import torch
    >>> training = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    >>> metric = MemorizedShare()
    >>> held_out = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8)
    >>> metric.update(nearest(held_out, training), real=True)
    >>> metric.update(nearest(training[:30], training), real=False)  # 30 copies
    >>> metric.compute().value
    1.0
    """

    # Generation 0 is the training set itself.
    infos: ClassVar = (
        MetricInfo(
            *("memorized", "memorized share", "Memorized share of samples"),
            higher_is_better=False,
            limits=SHARE,
            per_class=True,
            shows_real=False,
        ),
    )
    inputs = "nearest"
    two_sample = True
    equal_n = False  # it has no bias that falls with n

    def __init__(self, quantile: float = 0.01, **kwargs: Any) -> None:
        """`quantile` is the share of real images that may be called memorized."""
        super().__init__(**kwargs)
        self.quantile = quantile

    @classmethod
    def configured(cls, settings: MetricSettings) -> Self:
        """With the study's `memorized_quantile`."""
        return cls(settings.memorized_quantile)

    def compute(self) -> Estimate:
        """The share, with Wilson's 95% interval."""
        held_out, distances = dim_zero_cat(self.real), dim_zero_cat(self.generated)
        rank = self._rank(len(held_out))
        if not rank:
            needed = -(-1 // self.quantile) - 1
            return undefined(f"needs {needed:.0f} held-out real images")
        if not len(distances):
            return undefined("needs an image")
        threshold = float(held_out.sort().values[rank - 1])
        return wilson_interval(int((distances <= threshold).sum()), len(distances))

    def floor(self, n: int) -> Estimates:
        """The share among n real images and its central 95%: beta-binomial, exact but for ties."""
        held_out = len(dim_zero_cat(self.real))
        j = self._rank(held_out)
        rest = held_out + 1 - j
        low, high = betabinom.ppf([0.025, 0.975], n, j, rest) / n
        return {self.infos[0].name: Estimate(j / (j + rest), float(low), float(high))}

    def _rank(self, held_out: int) -> int:
        """j = the whole part of quantile x (M + 1); rounded first, as 0.29 x 100 is 28.999..."""
        return int(round(self.quantile * (held_out + 1), 9))
