"""Which samples are kept for the generations to come.

preference.py  the best of K, by a choice that follows a reward
verdicts.py    what people say of samples: the picks file
"""

from __future__ import annotations

from imgcollapse.curation.preference import choose
from imgcollapse.curation.verdicts import Pick, Picks, Subject

__all__ = ["Pick", "Picks", "Subject", "choose"]
