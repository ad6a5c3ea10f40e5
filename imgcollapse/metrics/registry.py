"""All metrics of a study: the built-in ones, those named by import path, and their settings.

A metric is one file: a subclass of `Metric` that declares its descriptions, inputs, states,
`update` and `compute`. To add one, write it and name it in `BUILT_IN`, or in a study's
`metrics.also` by its import path. Metrics of torchmetrics that take images are wrapped.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar

import torch
import torchmetrics
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_serializer
from pydantic_core import PydanticCustomError
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.components import complete, import_class
from imgcollapse.core.estimate import Estimate, undefined
from imgcollapse.metrics.base import CHANCE, FLOOR, Inputs, Metric, MetricInfo, SampleMetric
from imgcollapse.metrics.features import AnyExtractor, OracleFeatures
from imgcollapse.metrics.frechet import FrechetDistance, FrechetInfinity
from imgcollapse.metrics.jackknife import BLOCKS, jackknife, without_blocks
from imgcollapse.metrics.kernel_distance import KernelDistance
from imgcollapse.metrics.likelihood import BitsPerDim
from imgcollapse.metrics.memorization import MemorizedShare
from imgcollapse.metrics.precision_recall import PrecisionRecall
from imgcollapse.metrics.vendi_score import Vendi
from imgcollapse.metrics.vocabulary import Vocabulary, WordMetrics

BATCH = 128
_NAME = re.compile("[a-z][a-z0-9_]*")

BUILT_IN: tuple[type[Metric], ...] = (
    *(FrechetDistance, FrechetInfinity, KernelDistance, PrecisionRecall, Vendi),
    *(BitsPerDim, MemorizedShare, WordMetrics),
)


class ImageMetric(SampleMetric):
    """A torchmetrics metric of images, with a delete-a-block jackknife interval.

    >>> import torch
    >>> from torchmetrics.image import TotalVariation
    >>> metric = wrapped(TotalVariation)()
    >>> metric.update(torch.eye(2).expand(1, 1, 2, 2))  # four neighbors differ by 1
    >>> metric.compute().value
    4.0
    """

    inputs = "images"
    wraps: ClassVar[type[torchmetrics.Metric]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = self.wraps()
        self.inner.distributed_available_fn = self.has_no_parts  # images come from all processes

    def compute(self) -> Estimate:
        """The value of all images, with its 95% interval from 20 images on."""
        images = dim_zero_cat(self.generated)
        if not len(images):
            return undefined("needs an image")
        images = self.ordered(images.flatten(1)).to(images.dtype).view(images.shape)
        value = self._value(images)
        if not math.isfinite(value):
            return undefined("is not finite")
        if len(images) < 2 * BLOCKS or not self.interval:
            return Estimate(value)
        without = [self._value(images[rows]) for rows in without_blocks(len(images))]
        limits = self.infos[0].limits
        return jackknife(value, torch.tensor(without, dtype=torch.float64), limits)

    def _value(self, images: Tensor) -> float:
        self.inner.reset()
        for part in images.split(BATCH):
            self.inner.update(part)
        value = self.inner.compute()
        self.inner.reset()
        # Some give their mean and its spread.
        return float(value[0] if isinstance(value, (tuple, list)) else value)


@cache
def wrapped(metric: type[torchmetrics.Metric]) -> type[Metric]:
    """A torchmetrics metric of images as one of ours; its name is the class's in snake case."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", metric.__name__)
    low, high = metric.plot_lower_bound, metric.plot_upper_bound
    info = MetricInfo(
        words.lower().replace(" ", "_"),
        words.lower(),
        words.capitalize(),
        higher_is_better=metric.higher_is_better,
        limits=(-math.inf if low is None else low, math.inf if high is None else high),
    )
    return type(metric.__name__, (ImageMetric,), {"wraps": metric, "infos": (info,)})


def import_metric(path: str) -> type[Metric]:
    """The metric class at an import path `module:Class`; one of torchmetrics is wrapped."""
    found = import_class(path, torchmetrics.Metric)
    if issubclass(found, Metric):
        if not found.infos:
            raise PydanticCustomError("metric", "declares no infos; see docs/extending.md")
        return complete(found)
    _, *arguments = inspect.signature(found.update).parameters.values()
    needed = [one.name for one in arguments if one.default is one.empty]
    if len(needed) != 1:
        raise PydanticCustomError(
            "metric",
            "its update takes {needed}, not images alone; extend imgcollapse.metrics.Metric",
            {"needed": ", ".join(needed) or "nothing"},
        )
    return wrapped(found)


def checked_metrics(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Import paths of metrics whose names can stand in metrics.csv; refuses others."""
    taken = {info.name for metric in BUILT_IN for info in metric.infos}
    for path in paths:
        for name in (info.name for info in import_metric(path).infos):
            why = "there is a metric {name} already" if name in taken else ""
            if not _NAME.fullmatch(name) or name.endswith((FLOOR, CHANCE)):
                why = "{name} is not a name: use a to z, 0 to 9 and _, and no ending of ours"
            if why:
                raise PydanticCustomError("metric", why, {"name": name})
            taken.add(name)
    return paths


class MetricSettings(BaseModel):
    """Settings of the comparison of generations with real images."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: AnyExtractor = OracleFeatures()  # what the metrics see of an image
    neighbours: PositiveInt = 5  # k of precision, recall, density and coverage
    # Random halvings of the real images that a floor is taken from
    splits: Annotated[int, Field(ge=2)] = 20
    per_class: bool = True  # whether every class is measured too
    # Share of held-out real images that may be called memorized
    memorized_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    # How images are written as words; none leaves the words out
    vocabulary: Vocabulary | None = Vocabulary()
    # Import paths `module:Class` of further metrics: `imgcollapse.metrics.Metric`s, or torchmetrics
    # that take images, such as `torchmetrics.image:TotalVariation`
    also: Annotated[tuple[str, ...], AfterValidator(checked_metrics)] = ()

    @model_serializer(mode="wrap")
    def _without_empty_also(self, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Leave `also` out where it is empty: run.json of most studies does not know it."""
        found: dict[str, Any] = handler(self)
        if not self.also:
            found.pop("also", None)
        return found


def study_metrics(settings: MetricSettings, *inputs: Inputs) -> list[type[Metric]]:
    """The metrics of a study in display order, of all inputs or of these alone.

    Metrics of words are left out where the study has no vocabulary.
    """
    return [
        metric
        for metric in (*BUILT_IN, *map(import_metric, settings.also))
        if (not inputs or metric.inputs in inputs)
        and (settings.vocabulary is not None or metric.inputs != "words")
    ]


def metric_infos(settings: MetricSettings) -> tuple[MetricInfo, ...]:
    """Descriptions of every metric that a study may measure, in display order."""
    return tuple(info for metric in study_metrics(settings) for info in metric.infos)
