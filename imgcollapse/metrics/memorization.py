"""Memorised share: samples that lie nearer to a training image than real images do.

A sample is memorised if its nearest real training image is nearer than that of all but a `quantile`
of held-out real images. So the share among real images is known: j / (M + 1), where j of the M
held-out images lie nearer than the threshold or on it. The distance is Euclidean on pixels: a copy
is a matter of pixels, and features that ignore what a classifier need not see call any two images
of a class near.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from scipy.stats import betabinom
from torch import Tensor
from torchmetrics import Metric

from imgcollapse.core.estimate import Estimate, undefined, wilson_interval
from imgcollapse.metrics.base import MetricInfo

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
    """How near is too near.

    Attributes:
        held_out: float64[M], squared distances of held-out real images to their nearest training
            image.
        quantile: share of real images that may be called memorised.
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
        """Share of float64[n] squared distances that are memorised, with Wilson's 95% interval."""
        if self.too_few or not len(distances):
            return undefined(self.too_few or "needs an image")
        return wilson_interval(int((distances <= self.threshold).sum()), len(distances))

    def expected(self, n: int) -> Estimate:
        """The share among n real images and its central 95%: beta-binomial, exact but for ties."""
        j, rest = self.rank, len(self.held_out) + 1 - self.rank
        low, high = betabinom.ppf([0.025, 0.975], n, j, rest) / n
        return Estimate(j / (j + rest), float(low), float(high))


class MemorizedShare(Metric):
    """Memorised share of streamed images."""

    # Generation 0 is the training set itself.
    infos: ClassVar = (
        MetricInfo(
            "memorized",
            "memorized share",
            "Memorized share of samples",
            higher_is_better=False,
            limits=(0.0, 1.0),
            per_class=True,
            shows_real=False,
        ),
    )
    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    memorized: Tensor
    seen: Tensor

    def __init__(
        self, training: Tensor, held_out: Tensor, quantile: float = 0.01, **kwargs: Any
    ) -> None:
        """
        Args:
            training: uint8[L, ...], real training images.
            held_out: uint8[M, ...], real images that nothing was trained on.
            quantile: share of real images that may be called memorised.
            kwargs: torchmetrics' own.
        """
        super().__init__(**kwargs)
        self.training_images = training
        self.copies = Copies(nearest(held_out, training), quantile)
        self.add_state("memorized", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("seen", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pixels: Tensor) -> None:
        """Take in uint8[N, ...] images."""
        if not self.copies.too_few:
            distances = nearest(pixels, self.training_images)
            self.memorized += (distances <= self.copies.threshold).sum()
        self.seen += len(pixels)

    def compute(self) -> Estimate:
        """The share with its 95% interval."""
        if self.copies.too_few or not self.seen:
            return undefined(self.copies.too_few or "needs an image")
        return wilson_interval(int(self.memorized), int(self.seen))
