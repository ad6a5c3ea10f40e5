"""When a class is called extinct, and that the call is not taken back for noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Status = Literal["present", "below-detection", "extinct"]

RUNNING = 3
"""Generations running that make a call. A class at its detection limit is missed in one generation
with a probability of some 5%, in three running with one in thousands."""


def statuses(seen: Iterable[bool], telling: Iterable[bool]) -> Iterator[tuple[Status, int | None]]:
    """What to say of a class in each generation, from that generation and those before alone.

    A class that is missed in `RUNNING` telling generations running is extinct, from the last of
    them on. It is alive again only when it is seen in as many running. A generation that does not
    tell makes no call, and breaks none.

    Args:
        seen: generation by generation from 0, whether the class is told from an absent one.
        telling: whether it would be, had it the share that it has with no loss.

    Yields:
        Its status, and for an extinct class the generation of the call.
    """
    called, missed, back = None, 0, 0
    for generation, (here, tells) in enumerate(zip(seen, telling, strict=True)):
        if here:
            missed, back = 0, back + 1
        else:
            missed, back = missed + tells, 0
        if called is None and missed >= RUNNING:
            called = generation
        elif called is not None and back >= RUNNING:
            called = None
        if called is not None:
            yield "extinct", called
        else:
            yield ("present" if here else "below-detection"), None
