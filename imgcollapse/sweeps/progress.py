"""Shows the progress of a sweep: live lines on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imgcollapse.core import signals
from imgcollapse.core.progress import LOG_SECONDS, StudyLength, format_duration
from imgcollapse.sweeps.tasks import Key, Task

REFRESH_SECONDS = 0.2
"""Seconds between two updates on a terminal."""


@dataclass(frozen=True)
class Step:
    """Steps done in a stage of a generation."""

    stage: str
    step: int
    steps: int
    loss: float | None


class MessageReporter(ABC):
    """A progress reporter of a worker, whose messages `SweepProgress.update` takes elsewhere."""

    @abstractmethod
    def send(self, message: int | str | Step) -> None:
        """Sends a message to the process that shows the progress."""

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        """Sends the generation; stops here if a signal has asked to."""
        self.send(generation)
        signals.raise_if_stop_requested()

    def log(self, line: str) -> None:
        """Sends a line."""
        self.send(line)

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Sends a step."""
        self.send(Step(stage, step, steps, loss))


@dataclass
class _Running:
    """A running task, and how far it is."""

    task: Task
    generation: int = 0
    step: Step | None = None

    def __str__(self) -> str:
        task, parts = self.task, [self.task.arm]
        if task.lineage is None:
            parts.append("oracle")
        elif task.study["lineages"] > 1:
            parts.append(f"lineage {task.lineage + 1}/{task.study['lineages']}")
        if self.generation:
            parts.append(f"generation {self.generation}/{task.generations}")
        if self.step:
            parts.append(f"{self.step.stage} {self.step.step:,}/{self.step.steps:,}")
            if self.step.loss is not None:
                parts.append(f"loss {self.step.loss:.4f}")
        return " · ".join(parts)


@dataclass
class SweepProgress:
    """Shows all running tasks, how many lineages are done, and the time left; None shows nothing.

    `traces` are the tracebacks of unexpected exceptions.
    """

    stream: TextIO | None
    traces: dict[Key, str] = field(default_factory=dict)

    @contextmanager
    def show(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Show these tasks inside the block; the live lines are removed at its end."""
        self.lineages = [task for task in tasks if task.lineage is not None]
        self.done = {task.key: task.generations_done() for task in self.lineages}
        self.done_before = dict(self.done)
        self.running: dict[Key, _Running] = {}
        self.logged: set[str] = set()
        self.start_time = self.shown_time = time.monotonic()
        self.console = Console(file=self.stream, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False)
        self.is_live = self.stream is not None and self.console.is_terminal
        if self.is_live:
            self.live.start()
        try:
            yield
        finally:
            self.live.stop()

    def start(self, task: Task) -> None:
        """A task starts."""
        self.running[task.key] = _Running(task)

    def update(self, task: Task, message: int | str | Step) -> None:
        """A task logs a line, has come to a generation, or to a step of it."""
        running = self.running[task.key]
        if isinstance(message, str) and task.lineage is not None:
            self.log(f"{task.arm}, {message}")
        elif isinstance(message, str):
            if message not in self.logged:  # lines about the data are the same for all arms
                self.log(message)
            self.logged.add(message)
        elif isinstance(message, Step):
            running.step = message
        else:
            running.generation, running.step = message, None
            if task.lineage is not None:
                self.done[task.key] = max(message - 1, 0)
        self._show()

    def finish(self, task: Task, failure: str | None, trace: str = "") -> None:
        """A task is done, or has failed for good."""
        self.running.pop(task.key, None)
        if failure is not None:
            self.log(f"FAILED  {failure}")
            # The lineages of an arm that could not begin are not run.
            lost = {task.key} | {t.key for t in self.lineages if (t.arm, None) == task.key}
            self.lineages = [t for t in self.lineages if t.key not in lost]
            self.done = {t.key: self.done[t.key] for t in self.lineages}
            if trace:
                self.traces[task.key] = trace
        elif task.lineage is not None:
            self.done[task.key] = task.generations
        self._show()

    def retry(self, task: Task, why: str) -> None:
        """A task has failed, and will be tried again from what it has committed."""
        self.running.pop(task.key, None)
        self.log(f"RETRY   {why}")
        if task.lineage is not None:
            self.done[task.key] = task.generations_done()
        self._show()

    def log(self, line: str) -> None:
        """Print a line that stays."""
        if self.stream is not None:
            self.console.print(Text(line))

    def log_stop(self, running: int) -> None:
        """Print that so many running tasks are being stopped."""
        self.log(f"Stopping: {running} running task{'s' * (running > 1)} will save and stop.")

    def _show(self) -> None:
        now, every = time.monotonic(), REFRESH_SECONDS if self.is_live else LOG_SECONDS
        if self.stream is None or now - self.shown_time < every:
            return
        self.shown_time = now
        lines = [self._summary(now), *map(str, self.running.values())]
        if self.is_live:
            self.live.update(Group(*map(Text, lines)), refresh=True)
        else:
            self.console.print(Text("; ".join(lines)))

    def _summary(self, now: float) -> str:
        whole = self._whole_lineages(self.done)
        made, wanted = sum(self.done.values()), sum(task.generations for task in self.lineages)
        left = ""
        # A first model may take far longer than the later ones, so time a whole lineage.
        if whole > self._whole_lineages(self.done_before):
            before = sum(self.done_before[task.key] for task in self.lineages)
            seconds = (now - self.start_time) / (made - before) * (wanted - made)
            left = f", about {format_duration(seconds)} left"
        return f"{whole} of {len(self.lineages)} lineages done, {made:,} of {wanted:,} models{left}"

    def _whole_lineages(self, done: Mapping[Key, int]) -> int:
        return sum(done[task.key] >= task.generations for task in self.lineages)
