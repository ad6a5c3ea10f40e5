"""Base classes of metrics, and the description that tables, charts and pages show them by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.metrics.jackknife import hash_order


@dataclass(frozen=True)
class MetricInfo:
    """Description of one metric in metrics.csv; report, comparison and `evaluate` iterate over it.

    Attributes:
        name: its name in metrics.csv.
        label: its name in legends, tables and sentences.
        title: of its chart; metrics with one title share a chart, and one without has none.
        higher_is_better: whether larger values are better; None where neither is.
        limits: the smallest and the largest value there can be.
        has_floor: whether metrics.csv has the same metric between two sets of real images.
        per_class: whether each class is measured too.
        shows_real: whether generation 0 is drawn.
        compared: whether the comparison of runs has a column and a chart for it.
        sentinel: the rule by which it notices a change in the table of first detections: its
            interval lies above its floor, or outside the band of the null model.
        own_title: title of a chart of this metric alone; `title` where it is empty.
        draws_floor: whether its floor is drawn where it has one.
        full_axis: whether the axis of its chart spans `limits`.
        has_chance: whether the null model gives a band, `<name>_chance`.
        section: the section of the report that charts it.
    """

    name: str
    label: str
    title: str = ""
    higher_is_better: bool | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)
    has_floor: bool = True
    per_class: bool = False
    shows_real: bool = True
    compared: bool = False
    sentinel: Literal["", "above-floor", "outside-chance"] = ""
    own_title: str = ""
    draws_floor: bool = True
    full_axis: bool = False
    has_chance: bool = False
    section: Literal["metrics", "vocabulary"] = "metrics"


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
