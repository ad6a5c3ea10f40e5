"""What of a generation enters the pool: remedies, and what they keep against chance.

chain.py       a study's filters, one after another
account.py     what was kept of each class, beside a blind choice of as many
verifier.py    what passes for real
diversity.py   as many of each class, or images far from one another
preference.py  the best of K, by a choice that follows a reward
picks.py       what people keep, drop and name
verdicts.py    what people said of a generation: the picks file
scorer.py      a user's own opinion of images
watermark/     samples bear a keyed mark, and what bears it stays out
detector.py    a detector that errs at given rates
screen.py      what becomes of images that are found
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from imgcollapse.core.components import ComponentUnion
from imgcollapse.curation.base import Filter
from imgcollapse.curation.detector import Detector
from imgcollapse.curation.diversity import Balance, Diversity
from imgcollapse.curation.human_picks import ByHand
from imgcollapse.curation.picks_file import Pick, Picks, PicksTarget
from imgcollapse.curation.pipeline import curate, mark, simulated_selection
from imgcollapse.curation.preference import Preference, choose
from imgcollapse.curation.selection_audit import COLUMNS, selection_audit
from imgcollapse.curation.verifier import Verifier
from imgcollapse.curation.watermark import Watermark


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


AnyFilter = Annotated[
    Filter, ComponentUnion(Watermark, Detector, Verifier, Balance, Diversity, Preference, ByHand)
]

Curation = Annotated[tuple[AnyFilter, ...], BeforeValidator(_several)]
"""The filters of a study in order; a single one need not be a list."""

__all__ = [
    "COLUMNS",
    "AnyFilter",
    "Balance",
    "ByHand",
    "Curation",
    "Detector",
    "Diversity",
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
