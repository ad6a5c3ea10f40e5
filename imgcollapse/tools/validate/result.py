"""A law and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from imgcollapse.tools.validate.laws import Outcome


@dataclass(frozen=True)
class Result(Outcome):
    """An outcome, whose it is, and how long it took.

    Attributes:
        id, title, source: the law's.
        seconds: wall clock.
    """

    id: str = ""
    title: str = ""
    source: str = ""
    seconds: float = 0.0
