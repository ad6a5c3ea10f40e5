"""How far a generation is from real images.

panel.py          every metric of a generation, for all and for each class, beside its floor
settings.py       what a study may set
features/         what the metrics see of an image: oracle, backbone, inception, dinov2
frechet.py        Fréchet distance (FID), exact, with a low-rank path
extrapolation.py  FID-infinity
kernel.py         kernel distance (KID)
neighbours.py     precision, recall, density, coverage
diversity.py      Vendi score
memorization.py   the share of samples that are copies of training images
degenerate.py     samples that are all alike, or have no shades left
likelihood.py     bits per dimension of held-out real images
vocabulary/       small patches as words: which are lost, how rare ones fade
blocks.py         an order that does not depend on arrival; the jackknife
streams.py        metrics that keep every feature vector
"""

from imgcollapse.core.estimate import Estimate
from imgcollapse.metrics.base import MetricInfo
from imgcollapse.metrics.degenerate import degenerate
from imgcollapse.metrics.features import AnyExtractor, Extractor
from imgcollapse.metrics.frechet import FrechetDistance, fid
from imgcollapse.metrics.frechet_infinity import FrechetInfinity, fid_infinity
from imgcollapse.metrics.kernel_distance import KernelDistance, kid
from imgcollapse.metrics.likelihood import bits_per_dim
from imgcollapse.metrics.memorization import MemorizedShare
from imgcollapse.metrics.precision_recall import PrecisionRecall, prdc
from imgcollapse.metrics.registry import metric_infos
from imgcollapse.metrics.settings import MetricSettings
from imgcollapse.metrics.suite import COLUMNS, RealReference, metric_row
from imgcollapse.metrics.vendi_score import Vendi, vendi
from imgcollapse.metrics.vocabulary import (
    TAIL_MASS,
    WORDS_LOST,
    Codebook,
    Vocabulary,
    WordReference,
)

__all__ = [
    "COLUMNS",
    "TAIL_MASS",
    "WORDS_LOST",
    "AnyExtractor",
    "Codebook",
    "Estimate",
    "Extractor",
    "FrechetDistance",
    "FrechetInfinity",
    "KernelDistance",
    "MemorizedShare",
    "MetricInfo",
    "MetricSettings",
    "PrecisionRecall",
    "RealReference",
    "Vendi",
    "Vocabulary",
    "WordReference",
    "bits_per_dim",
    "degenerate",
    "fid",
    "fid_infinity",
    "kid",
    "metric_infos",
    "metric_row",
    "prdc",
    "vendi",
]
