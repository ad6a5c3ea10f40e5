"""Keeps the tasks of a sweep that wait, are done, or are tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from imgcollapse.core.errors import UserError
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.tasks import Key, Task, TaskResult

RETRIES = 2
"""How often a failed task is tried again by default."""


class TaskQueue:
    """The tasks of a sweep.

    A task that fails for a reason that a second try may not meet (its process died, an unexpected
    exception) is run again from what it has committed; the others go on meanwhile.
    """

    def __init__(
        self, tasks: Sequence[Task], progress: SweepProgress, retries: int = RETRIES
    ) -> None:
        if retries < 0:
            raise UserError(f"--retries: {retries} is too few; ask for 0 or more")
        self.progress, self.retries = progress, retries
        self.waiting = _unfinished(tasks)
        self.ended: dict[Key, str | None] = {t.key: None for t in tasks if t not in self.waiting}
        self.failed = Counter[Key]()

    def ready(self) -> Iterator[Task]:
        """Tasks that can be run now; each costs a look at a file."""
        self._drop_failed_arms()
        for task in list(self.waiting):
            if task.ready(self.ended):
                yield task

    def start(self, task: Task) -> None:
        """Mark a task as running."""
        self.waiting.remove(task)

    def finish(self, task: Task, result: TaskResult) -> None:
        """Record how a task ended; one that may be tried again waits again."""
        if result.failure is None:
            self.ended[task.key] = None
            self.progress.finish(task, None)
            return
        self.failed[task.key] += 1
        tries, failure = self.failed[task.key], f"{task.label}: {result.failure}"
        if result.retry and tries <= self.retries:
            self.progress.retry(task, f"{failure}; try {tries + 1} of {self.retries + 1}")
            self.waiting.insert(0, task)
            return
        if result.retry:
            failure += f", {tries} times over" if tries > 1 else ""
            failure += "; the same command goes on"
        self.ended[task.key] = failure
        self.progress.finish(task, failure, result.trace)

    def failures(self) -> Mapping[Key, str]:
        """Tasks that failed for good, and why in one line."""
        return {key: why for key, why in self.ended.items() if why is not None}

    def _drop_failed_arms(self) -> None:
        """Drops the lineages of arms that could not begin; the arm's failure is reported once."""
        for task in list(self.waiting):
            if task.lineage is not None and self.ended.get((task.arm, None)) is not None:
                self.waiting.remove(task)
                self.ended[task.key] = None


def _unfinished(tasks: Sequence[Task]) -> list[Task]:
    """Lineages that have not ended, and the beginnings of their arms."""
    lineages = [t for t in tasks if t.lineage is not None and t.generations_done() < t.generations]
    arms = {task.arm for task in lineages}
    return [t for t in tasks if t in lineages or (t.lineage is None and t.arm in arms)]
