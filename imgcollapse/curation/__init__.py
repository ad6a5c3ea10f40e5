"""Filters decide which images of a generation later models may train on.

base.py         Filter and its input
pipeline.py     applies a study's filters in order; counts what was kept of each class
verifier.py     keeps the samples most like real images, or removes them at given error rates
diversity.py    keeps equally many of each class, or samples far from one another
preference.py   keeps one of K, chosen by a reward
human_picks.py  keeps what people keep
picks_file.py   reads and writes people's verdicts
watermark/      marks samples, and removes images that bear the mark
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from imgcollapse.core.components import ComponentUnion
from imgcollapse.curation.base import Filter, FilterMetric
from imgcollapse.curation.diversity import Balance, Diversity
from imgcollapse.curation.human_picks import ByHand
from imgcollapse.curation.picks_file import Pick, Picks, PicksTarget
from imgcollapse.curation.pipeline import (
    COLUMNS,
    curate,
    mark,
    selection_audit,
    simulated_selection,
)
from imgcollapse.curation.preference import Preference, choose
from imgcollapse.curation.verifier import Detector, Verifier
from imgcollapse.curation.watermark import Watermark


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


FILTERS = (Watermark, Detector, Verifier, Balance, Diversity, Preference, ByHand)
AnyFilter = Annotated[Filter, ComponentUnion(*FILTERS)]
SHOWN_METRICS = tuple(metric for each in FILTERS for metric in each.shown_metrics)
"""The filters' own metrics that the report shows."""

Curation = Annotated[tuple[AnyFilter, ...], BeforeValidator(_as_list)]
"""The filters of a study in order; a single filter need not be in a list."""

__all__ = [
    "COLUMNS",
    "SHOWN_METRICS",
    "AnyFilter",
    "Balance",
    "ByHand",
    "Curation",
    "Detector",
    "Diversity",
    "FilterMetric",
    "Pick",
    "Picks",
    "PicksTarget",
    "Preference",
    "Verifier",
    "Watermark",
    "choose",
    "curate",
    "mark",
    "selection_audit",
    "simulated_selection",
]
