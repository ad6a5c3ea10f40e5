"""Metrics: how far a generation is from real images.

base.py                 base classes, and the description that tables and charts show a metric by
registry.py             all metrics of a study, built-in and by import path, and their settings
suite.py                every metric of a generation and of each class, beside its floor
floors.py               each metric between two sets of real images, and the rows of metrics.csv
features.py             feature extractors: the study's oracle, torchvision's networks, the
                        Inception of the FID literature, DINOv2
features.py  torchvision networks, the Inception of the FID literature, DINOv2
frechet.py              Fréchet distance (FID), exact, with a low-rank path; FID-infinity
kernel_distance.py      kernel distance (KID)
precision_recall.py     precision, recall, density, coverage
vendi_score.py          Vendi score
memorization.py         the share of samples that are copies of training images
likelihood.py           bits per dimension of held-out real images
vocabulary/             small patches as words: which are lost, how rare ones fade
jackknife.py            an order that does not depend on arrival; the jackknife
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
