"""What is still to be done, what has come to its end, and what is tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from imgcollapse.core.errors import UserError
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.tasks import Key, Task, TaskResult

RETRIES = 2
"""How often a unit is tried again by default."""


class TaskQueue:
    """The units of a sweep, from first to last.

    A unit that fails for a reason that a second try may not meet (its process died, an exception
    nobody foresaw) is taken up again, from what it has committed; the others go on meanwhile.
    """

    def __init__(self, units: Sequence[Task], board: SweepProgress, retries: int = RETRIES) -> None:
        """
        Args:
            units: all of them.
            board: is told what begins and ends.
            retries: how often one is tried again.
        """
        if retries < 0:
            raise UserError(f"--retries: {retries} is too few; ask for 0 or more")
        self.board, self.retries = board, retries
        self.waiting = _left(units)
        self.ended: dict[Key, str | None] = {u.key: None for u in units if u not in self.waiting}
        self.failed = Counter[Key]()

    def ready(self) -> Iterator[Task]:
        """Units that can be taken up now, one after another: looking costs a file each."""
        self._drop_unborn()
        for unit in list(self.waiting):
            if unit.ready(self.ended):
                yield unit

    def begin(self, unit: Task) -> None:
        """Somebody takes a unit up."""
        self.waiting.remove(unit)

    def end(self, unit: Task, how: TaskResult) -> None:
        """A unit is done, or has failed: it waits again, or is given up."""
        if how.failure is None:
            self.ended[unit.key] = None
            self.board.finish(unit, None)
            return
        self.failed[unit.key] += 1
        tried, failure = self.failed[unit.key], f"{unit.label}: {how.failure}"
        if how.again and tried <= self.retries:
            self.board.retries(unit, f"{failure}; try {tried + 1} of {self.retries + 1}")
            self.waiting.insert(0, unit)
            return
        if how.again:
            failure += f", {tried} times over" if tried > 1 else ""
            failure += "; the same command goes on"
        self.ended[unit.key] = failure
        self.board.finish(unit, failure, how.trace)

    def failures(self) -> Mapping[Key, str]:
        """What was given up, and why in one line."""
        return {key: why for key, why in self.ended.items() if why is not None}

    def _drop_unborn(self) -> None:
        """Lineages of an arm that could not begin will not live; the arm has been named once."""
        for unit in list(self.waiting):
            if unit.lineage is not None and self.ended.get((unit.arm, None)) is not None:
                self.waiting.remove(unit)
                self.ended[unit.key] = None


def _left(units: Sequence[Task]) -> list[Task]:
    """Lineages that have not come to their end, and the beginnings of their arms."""
    unborn = [u for u in units if u.lineage is not None and u.generations_done() < u.generations]
    arms = {unit.arm for unit in unborn}
    return [u for u in units if u in unborn or (u.lineage is None and u.arm in arms)]
