"""All metrics of a study, in the order in which tables and charts show them."""

from __future__ import annotations

from imgcollapse.metrics.base import MetricInfo
from imgcollapse.metrics.frechet import FrechetDistance
from imgcollapse.metrics.frechet_infinity import FrechetInfinity
from imgcollapse.metrics.kernel_distance import KernelDistance
from imgcollapse.metrics.likelihood import BITS_PER_DIM
from imgcollapse.metrics.memorization import MemorizedShare
from imgcollapse.metrics.precision_recall import PrecisionRecall
from imgcollapse.metrics.settings import MetricSettings
from imgcollapse.metrics.vendi_score import Vendi
from imgcollapse.metrics.vocabulary.words import WORD_METRICS


def metric_infos(settings: MetricSettings) -> tuple[MetricInfo, ...]:
    """Descriptions of every metric that a study may measure, in display order.

    Args:
        settings: the study's; the words are left out where it has no vocabulary.
    """
    return (
        *FrechetDistance.infos,
        *FrechetInfinity.infos,
        *KernelDistance.infos,
        *PrecisionRecall.infos,
        *Vendi.infos,
        BITS_PER_DIM,
        *MemorizedShare.infos,
        *(WORD_METRICS if settings.vocabulary else ()),
    )
