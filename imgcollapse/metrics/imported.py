"""Metrics by import path: the user's own, and those of torchmetrics that take images."""

from __future__ import annotations

import inspect
import math
import re
from functools import cache
from typing import Any, ClassVar

import torch
import torchmetrics
from pydantic_core import PydanticCustomError
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from imgcollapse.core.components import import_class
from imgcollapse.core.estimate import Estimate, undefined
from imgcollapse.metrics.base import CHANCE, FLOOR, Metric, MetricInfo, has_no_parts
from imgcollapse.metrics.jackknife import BLOCKS, jackknife, without_blocks

BATCH = 128
_NAME = re.compile("[a-z][a-z0-9_]*")


class ImageMetric(Metric):
    """A torchmetrics metric of images, with a delete-a-block jackknife interval.

    Busing, Meijer & van der Leeden 1999, doi:10.1023/A:1008800423698.

    >>> import torch
    >>> from torchmetrics.image import TotalVariation
    >>> metric = wrapped(TotalVariation)()
    >>> metric.update(torch.eye(2).expand(1, 1, 2, 2))  # four neighbors differ by 1
    >>> metric.compute().value
    4.0
    """

    wraps: ClassVar[type[torchmetrics.Metric]]
    images: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = self.wraps()
        self.inner.distributed_available_fn = has_no_parts  # `images` comes from all processes
        self.add_state("images", default=[], dist_reduce_fx="cat")

    def update(self, images: Tensor) -> None:
        """Take in float32[N, C, H, W] images in [0, 1]."""
        self.images.append(images)

    def compute(self) -> Estimate:
        """The value of all images, with its 95% interval from 20 images on."""
        images = dim_zero_cat(self.images)
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
    """The metric class at an import path `module:Class`; one of torchmetrics is wrapped.

    Raises:
        PydanticCustomError: there is none, or it does not take images.
    """
    found = import_class(path, torchmetrics.Metric)
    if issubclass(found, Metric):
        if not found.infos:
            raise PydanticCustomError("metric", "declares no infos; see docs/extending.md")
        return found
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
    """Import paths of metrics whose names can stand in metrics.csv.

    Raises:
        PydanticCustomError: one cannot be imported, or its name is taken or not a name.
    """
    from imgcollapse.metrics.registry import BUILT_IN  # which reads the settings

    taken = {info.name for metric in BUILT_IN for info in metric.infos}
    for path in paths:
        for name in (info.name for info in import_metric(path).infos):
            if not _NAME.fullmatch(name) or name.endswith((FLOOR, CHANCE)):
                why = "is not a name: use a to z, 0 to 9 and _, and no ending of ours"
                raise PydanticCustomError("metric", "{name} {why}", {"name": name, "why": why})
            if name in taken:
                raise PydanticCustomError(
                    "metric", "there is a metric {name} already", {"name": name}
                )
            taken.add(name)
    return paths
