"""Memorized share: samples that lie nearer to a training image than real images do.

A sample is memorized if its nearest real training image is nearer than that of all but a `quantile`
of held-out real images. So the share among real images is known: j / (M + 1), where j of the M
held-out images lie nearer than the threshold or on it. The distance is Euclidean on pixels: a copy
is a matter of pixels, and features that ignore what a classifier need not see call any two images
of a class near.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from scipy.stats import betabinom
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.estimate import Estimate, undefined, wilson_interval
from imgcollapse.metrics.base import SHARE, MetricInfo, SampleMetric

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


@dataclass(frozen=True)
class Copies:
    """Thresholds of distance below which a sample counts as memorized.

    Of `held_out` real images, float64[M], squared distances to their nearest training image, a
    share of `quantile` may be called memorized.
    """

    held_out: Tensor
    quantile: float = 0.01

    @cached_property
    def rank(self) -> int:
        """j = the whole part of quantile x (M + 1); rounded first, as 0.29 x 100 is 28.999..."""
        return int(round(self.quantile * (len(self.held_out) + 1), 9))

    @property
    def too_few(self) -> str:
        """Why there is no threshold; empty where there is one."""
        needed = -(-1 // self.quantile) - 1
        return "" if self.rank else f"needs {needed:.0f} held-out real images"

    @cached_property
    def threshold(self) -> float:
        """The j-th smallest held-out distance, squared."""
        return float(self.held_out.sort().values[self.rank - 1])

    def share(self, distances: Tensor) -> Estimate:
        """Share of float64[n] squared distances that are memorized, with Wilson's 95% interval."""
        if self.too_few or not len(distances):
            return undefined(self.too_few or "needs an image")
        return wilson_interval(int((distances <= self.threshold).sum()), len(distances))

    def expected(self, n: int) -> Estimate:
        """The share among n real images and its central 95%: beta-binomial, exact but for ties."""
        j, rest = self.rank, len(self.held_out) + 1 - self.rank
        low, high = betabinom.ppf([0.025, 0.975], n, j, rest) / n
        return Estimate(j / (j + rest), float(low), float(high))


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
        """The share with its 95% interval."""
        return self._copies().share(dim_zero_cat(self.generated))

    def floor(self, n: int) -> Mapping[str, Estimate]:
        """The share among n real images."""
        return {self.infos[0].name: self._copies().expected(n)}

    def _copies(self) -> Copies:
        return Copies(dim_zero_cat(self.real), self.quantile)
