"""When a class is called extinct, and that the call is not taken back for noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Status = Literal["present", "below-detection", "extinct"]

RUNNING = 3
"""Generations running that make a call. A class at its detection limit is missed in one generation
with probability 5%, in three running with one in 8,000."""


def statuses(seen: Iterable[bool]) -> Iterator[tuple[Status, int | None]]:
    """What to say of a class in each generation, from that generation and those before alone.

    A class that has been seen and is then below its detection limit in `RUNNING` generations running
    is extinct, from the last of them on. It is alive again only when it is seen in as many running.
    One that has never been seen is below detection for ever: nothing can be said of it.

    Args:
        seen: generation by generation from 0, whether its frequency reaches its detection limit.

    Yields:
        Its status, and for an extinct class the generation of the call.
    """
    ever, called, missed, back = False, None, 0, 0
    for generation, here in enumerate(seen):
        ever = ever or here
        missed, back = (0, back + 1) if here else (missed + 1, 0)
        if called is None and ever and missed >= RUNNING:
            called = generation
        elif called is not None and back >= RUNNING:
            called = None
        if called is not None:
            yield "extinct", called
        else:
            yield ("present" if here else "below-detection"), None
