"""Base classes of metrics, and the description that tables, charts and pages show them by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.errors import UserError
from imgcollapse.core.estimate import Estimate
from imgcollapse.metrics.jackknife import hash_order

if TYPE_CHECKING:
    from imgcollapse.metrics.registry import MetricSettings

T = TypeVar("T")
FLOOR, CHANCE = "_floor", "_chance"
"""Endings of the names of rows with a metric's floor, and its band under the null model."""
SHARE, NONNEGATIVE = (0.0, 1.0), (0.0, math.inf)  # limits of metrics
Row = dict[str, Any]  # of metrics.csv
Estimates = Mapping[str, Estimate]  # by the metric's name
Inputs = Literal["features", "images", "nearest", "words", "bits"]


@dataclass(frozen=True)
class MetricInfo:
    """Description of a metric, by which metrics.csv, report, comparison and evaluation show it."""

    name: str  # its name in metrics.csv
    label: str  # its name in legends, tables and sentences
    title: str = ""  # of its chart; metrics with one title share a chart, and one without has none
    higher_is_better: bool | None = None  # whether larger values are better; None where neither is
    # The smallest and the largest value there can be
    limits: tuple[float, float] = (-math.inf, math.inf)
    # Whether metrics.csv has the same metric between two sets of real images
    has_floor: bool = True
    per_class: bool = False  # whether each class is measured too
    shows_real: bool = True  # whether generation 0 is drawn
    compared: bool = False  # whether the comparison of runs has a column and a chart for it
    # The rule by which it notices a change in the table of first detections: its interval lies
    # above its floor, or outside the band of the null model
    sentinel: Literal["", "above-floor", "outside-chance"] = ""
    own_title: str = ""  # title of a chart of this metric alone; `title` where it is empty
    draws_floor: bool = True  # whether its floor is drawn where it has one
    full_axis: bool = False  # whether the axis of its chart spans `limits`
    has_chance: bool = False  # whether the null model gives a band, `<name>_chance`
    # The section of the report that charts it
    section: Literal["metrics", "vocabulary"] = "metrics"


class Metric(torchmetrics.Metric):
    """Base of every metric: `update` by batches, states that are put together across processes.

    A subclass declares `infos` and `inputs`, adds states, and defines `update` and `compute`, which
    returns one `Estimate`, or one for each name in `infos`.
    """

    is_differentiable = False
    full_state_update = False
    infos: ClassVar[tuple[MetricInfo, ...]] = ()  # descriptions of the values that it computes
    # The argument of `update`: "images", float32[N, C, H, W] in [0, 1]; "features", float[N, D] of
    # the study's extractor; "nearest", float64[N], squared distances to the nearest real training
    # image; "words", int64[N, h, w]; "bits", float64[N], bits per dimension of each image under a
    # model
    inputs: ClassVar[Inputs] = "images"
    # Whether `update` has a second argument, `real`: the side of a batch
    two_sample: ClassVar[bool] = False
    # Whether it is measured on as many samples as there are real images to compare with
    equal_n: ClassVar[bool] = True
    interval = True  # whether `compute` gives an interval too; floors need none
    # Whether samples are put in a random order by a hash of their bits, so that nothing depends on
    # the order of arrival; not needed where they arrive in random order
    shuffle = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take torchmetrics' direction from the first description."""
        super().__init_subclass__(**kwargs)
        if cls.infos:
            cls.higher_is_better = cls.infos[0].higher_is_better

    @classmethod
    def configured(cls, settings: MetricSettings) -> Self:
        """The metric with the settings of a study; one without settings need not override it."""
        return cls()

    def estimates(self) -> Estimates:
        """Returns the estimates of `compute`, by the names in `infos`."""
        found = self.compute()
        named = found if isinstance(found, Mapping) else {self.infos[0].name: found}
        for name, value in named.items():
            if not isinstance(value, Estimate):
                raise UserError(
                    f"metric {name}: {type(self).__name__}.compute gave {type(value).__name__}; "
                    "let it return an Estimate (imgcollapse.core.estimate)"
                )
            wrong = [x for x in value[:3] if not (x is None or isinstance(x, int | float))]
            wrong += [x for x in value[:1] if x != x]
            if wrong:
                raise UserError(
                    f"metric {name}: {type(self).__name__}.compute gave an Estimate of {wrong[0]}; "
                    "let it hold plain numbers, or undefined(reason)"
                )
        return named

    def between(self, real: Tensor, generated: Tensor) -> Estimates:
        """The metric of two whole sets; of the generated one alone where it is not `two_sample`."""
        self.reset()
        self.distributed_available_fn = self.has_no_parts
        if self.two_sample:
            self.update(real, real=True)
            self.update(generated, real=False)
        else:
            self.update(generated)
        return self.estimates()

    @staticmethod
    def has_no_parts() -> bool:
        """False: no other process has a part of the samples, so torchmetrics must not ask."""
        return False

    def floor(self, n: int) -> Estimates | None:
        """The exact floors at n images, where a formula gives them; None takes random halvings."""
        return None

    def ordered(self, rows: Tensor) -> Tensor:
        """[N, D] rows in the order that `shuffle` says, then float64."""
        return hash_order(rows) if self.shuffle else rows


class SampleMetric(Metric):
    """Base of metrics of whole samples: every batch is kept, of the generated and the real side."""

    inputs = "features"
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("generated", default=[], dist_reduce_fx="cat")
        self._once: tuple[Tensor, Any] | None = None

    def update(self, rows: Tensor, real: bool = False) -> None:
        """Take in what `inputs` says of generated images, or of real ones if `two_sample`."""
        (self.real if real else self.generated).append(rows)

    def once(self, function: Callable[[Tensor], T], real: Tensor) -> T:
        """A function of the real side, kept until another tensor comes."""
        if self._once is None or self._once[0] is not real:
            self._once = real, function(real)
        return self._once[1]

    def both(self) -> tuple[Tensor, Tensor]:
        """All real and all generated features, float[M, D] and float[N, D]."""
        parts = [_rows(state) for state in (self.real, self.generated)]
        width = next((part.shape[1] for part in parts if part is not None), 0)
        empty = torch.zeros(0, width, dtype=torch.float64, device=self.device)
        real, generated = (empty if part is None else self.ordered(part) for part in parts)
        return real, generated


def _rows(state: list[Tensor] | Tensor) -> Tensor | None:
    """The rows of a state; a single part is not copied, so that `once` recognizes it."""
    if not len(state):
        return None
    return state[0] if isinstance(state, list) and len(state) == 1 else dim_zero_cat(state)
