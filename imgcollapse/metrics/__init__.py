"""Metrics: how far a generation is from real images; a file for each, by its name.

base.py has their base classes, registry.py lists them, suite.py measures all of them beside their
floors, and features.py has what sees the images.
"""

from imgcollapse.core.estimate import Estimate
from imgcollapse.metrics.base import Metric, MetricInfo, Row, SampleMetric
from imgcollapse.metrics.features import AnyExtractor, Extractor
from imgcollapse.metrics.frechet import FrechetDistance, FrechetInfinity, fid, fid_infinity
from imgcollapse.metrics.kernel_distance import KernelDistance, kid
from imgcollapse.metrics.likelihood import BitsPerDim
from imgcollapse.metrics.memorization import MemorizedShare
from imgcollapse.metrics.precision_recall import PrecisionRecall, prdc
from imgcollapse.metrics.registry import MetricSettings, metric_infos, study_metrics
from imgcollapse.metrics.suite import (
    COLUMNS,
    RealReference,
    degenerate,
    likelihood_rows,
    metric_row,
)
from imgcollapse.metrics.vendi_score import Vendi, vendi
from imgcollapse.metrics.vocabulary import (
    TAIL_MASS,
    WORDS_LOST,
    Codebook,
    Vocabulary,
    WordMetrics,
    WordReference,
)

__all__ = [
    "COLUMNS",
    "TAIL_MASS",
    "WORDS_LOST",
    "AnyExtractor",
    "BitsPerDim",
    "Codebook",
    "Estimate",
    "Extractor",
    "FrechetDistance",
    "FrechetInfinity",
    "KernelDistance",
    "MemorizedShare",
    "Metric",
    "MetricInfo",
    "MetricSettings",
    "PrecisionRecall",
    "RealReference",
    "Row",
    "SampleMetric",
    "Vendi",
    "Vocabulary",
    "WordMetrics",
    "WordReference",
    "degenerate",
    "fid",
    "fid_infinity",
    "kid",
    "likelihood_rows",
    "metric_infos",
    "metric_row",
    "prdc",
    "study_metrics",
    "vendi",
]
