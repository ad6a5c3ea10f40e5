"""Which samples are kept for the generations to come.

preference.py  the best of K, by a choice that follows a reward
"""

from __future__ import annotations

from imgcollapse.curation.preference import choose

__all__ = ["choose"]
