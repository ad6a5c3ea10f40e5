"""Status of a class over generations: extinction is called, or withdrawn, after three in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Status = Literal["present", "below-detection", "extinct"]

RUNNING = 3
"""Consecutive generations that make a call. A class at its detection limit is missed in one
generation with a probability of some 5%, in three with one in thousands."""


def statuses(
    seen: Iterable[bool], informative: Iterable[bool]
) -> Iterator[tuple[Status, int | None]]:
    """Yields the status of a class in each generation, from that generation and those before.

    A class that is missed in `RUNNING` consecutive informative generations is extinct, from the
    last of them on. It is alive again only when it is seen in as many. A generation that is not
    informative is skipped.

    Args:
        seen: generation by generation from 0, whether the class is distinguished from an absent
            one.
        informative: whether it would be, had it the share that it has with no loss.

    Yields:
        Its status, and for an extinct class the generation of the call.
    """
    called, missed, back = None, 0, 0
    for generation, (here, counts) in enumerate(zip(seen, informative, strict=True)):
        if here:
            missed, back = 0, back + 1
        else:
            missed, back = missed + counts, 0
        if called is None and missed >= RUNNING:
            called = generation
        elif called is not None and back >= RUNNING:
            called = None
        if called is not None:
            yield "extinct", called
        else:
            yield ("present" if here else "below-detection"), None
