"""Metrics that keep every feature vector they are shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.metrics.jackknife import hash_order


class TwoSampleMetric(Metric):
    """Base of metrics between two sets of features, each as float64[N, D] when it is computed."""

    is_differentiable = False
    full_state_update = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("generated", default=[], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Take in float[N, D] features of real or of generated images."""
        (self.real if real else self.generated).append(features.double())

    def both(self) -> tuple[Tensor, Tensor]:
        """All real and all generated features, each in an order that does not depend on arrival."""
        sides = [dim_zero_cat(side) if len(side) else None for side in (self.real, self.generated)]
        width = next((side.shape[1] for side in sides if side is not None), 0)
        empty = torch.zeros(0, width, dtype=torch.float64, device=self.device)
        real, generated = (empty if side is None else hash_order(side) for side in sides)
        return real, generated
