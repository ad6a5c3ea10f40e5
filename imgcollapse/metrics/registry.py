"""All metrics of a study, in the order in which tables and charts show them.

A metric is one file: a subclass of `Metric` that declares its descriptions, inputs, states,
`update` and `compute`. To add one, write it and name it in `BUILT_IN`, or in a study's
`metrics.also` by its import path.
"""

from __future__ import annotations

from collections.abc import Sequence

from imgcollapse.metrics.base import Inputs, Metric, MetricInfo
from imgcollapse.metrics.frechet import FrechetDistance, FrechetInfinity
from imgcollapse.metrics.imported import import_metric
from imgcollapse.metrics.kernel_distance import KernelDistance
from imgcollapse.metrics.likelihood import BitsPerDim
from imgcollapse.metrics.memorization import MemorizedShare
from imgcollapse.metrics.precision_recall import PrecisionRecall
from imgcollapse.metrics.settings import MetricSettings
from imgcollapse.metrics.vendi_score import Vendi
from imgcollapse.metrics.vocabulary.words import WordMetrics

BUILT_IN: tuple[type[Metric], ...] = (
    FrechetDistance,
    FrechetInfinity,
    KernelDistance,
    PrecisionRecall,
    Vendi,
    BitsPerDim,
    MemorizedShare,
    WordMetrics,
)


def study_metrics(settings: MetricSettings, *inputs: Inputs) -> list[type[Metric]]:
    """The metrics of a study in display order, built-in ones first.

    Args:
        settings: the study's; metrics of words are left out where it has no vocabulary.
        inputs: only metrics that take these; none gives all of them.
    """
    own = [import_metric(path) for path in settings.also]
    return [
        metric
        for metric in (*BUILT_IN, *own)
        if (not inputs or metric.inputs in inputs)
        and (settings.vocabulary is not None or metric.inputs != "words")
    ]


def metric_infos(settings: MetricSettings) -> tuple[MetricInfo, ...]:
    """Descriptions of every metric that a study may measure, in display order."""
    metrics: Sequence[type[Metric]] = study_metrics(settings)
    return tuple(info for metric in metrics for info in metric.infos)
