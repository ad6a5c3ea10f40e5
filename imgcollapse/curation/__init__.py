"""What of a generation enters the pool: remedies, and what they keep against chance.

chain.py       a study's filters, one after another
account.py     what was kept of each class, beside a blind choice of as many
preference.py  the best of K, by a choice that follows a reward
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from imgcollapse.core.parts import OneOf
from imgcollapse.core.pool import Filter
from imgcollapse.curation.account import COLUMNS, account
from imgcollapse.curation.chain import admitted, curate
from imgcollapse.curation.preference import Preference, choose


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


AnyFilter = Annotated[Filter, OneOf(Preference)]

Curation = Annotated[tuple[AnyFilter, ...], BeforeValidator(_several)]
"""The filters of a study in order; a single one need not be a list."""

__all__ = [
    "COLUMNS",
    "AnyFilter",
    "Curation",
    "Preference",
    "account",
    "admitted",
    "choose",
    "curate",
]
