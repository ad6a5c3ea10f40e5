"""How far the members of a sweep are: a live table on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from imgcollapse.core.progress import LOG_SECONDS, format_duration
from imgcollapse.sweeps.tasks import Key, Task

SHOW_EVERY = 0.2
"""Seconds between two pictures on a terminal."""


@dataclass(frozen=True)
class Step:
    """How far a stage of a generation is."""

    stage: str
    step: int
    steps: int
    loss: float | None


@dataclass
class _Place:
    """Where a unit under way stands."""

    unit: Task
    generation: int = 0
    step: Step | None = None

    def __str__(self) -> str:
        unit, parts = self.unit, [self.unit.arm]
        if unit.lineage is None:
            parts.append("oracle")
        elif unit.study["lineages"] > 1:
            parts.append(f"lineage {unit.lineage + 1}/{unit.study['lineages']}")
        if self.generation:
            parts.append(f"generation {self.generation}/{unit.generations}")
        if self.step:
            parts.append(f"{self.step.stage} {self.step.step:,}/{self.step.steps:,}")
            if self.step.loss is not None:
                parts.append(f"loss {self.step.loss:.4f}")
        return " · ".join(parts)


@dataclass
class SweepProgress:
    """Shows all units under way, how many are done, and the time left.

    Attributes:
        stream: where; None shows nothing.
        traces: tracebacks of what failed for a reason nobody foresaw, by unit.
    """

    stream: TextIO | None
    traces: dict[Key, str] = field(default_factory=dict)

    @contextmanager
    def over(self, units: Sequence[Task]) -> Iterator[None]:
        """Watch these units inside the block; the live table is taken away at its end."""
        self.lineages = [unit for unit in units if unit.lineage is not None]
        self.done = {unit.key: unit.generations_done() for unit in self.lineages}
        self.before = dict(self.done)
        self.places: dict[Key, _Place] = {}
        self.said: set[str] = set()
        self.began = self.shown = time.monotonic()
        self.console = Console(file=self.stream, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False)
        self.is_live = self.stream is not None and self.console.is_terminal
        if self.is_live:
            self.live.start()
        try:
            yield
        finally:
            self.live.stop()

    def start(self, unit: Task) -> None:
        """A unit is taken up."""
        self.places[unit.key] = _Place(unit)

    def update(self, unit: Task, message: int | str | Step) -> None:
        """A unit says a line, has come to a generation, or to a step of it."""
        place = self.places[unit.key]
        if isinstance(message, str):
            self._say_of(unit, message)
        elif isinstance(message, Step):
            place.step = message
        else:
            place.generation, place.step = message, None
            if unit.lineage is not None:
                self.done[unit.key] = max(message - 1, 0)
        self._show()

    def finish(self, unit: Task, failure: str | None, trace: str = "") -> None:
        """A unit is done, or has failed."""
        self.places.pop(unit.key, None)
        if failure is not None:
            self.log(f"FAILED  {failure}")
            # An arm that could not begin has no lineages to wait for.
            whole_arm = [u.key for u in self.lineages if u.arm == unit.arm]
            lost = whole_arm if unit.lineage is None else [unit.key]
            self.lineages = [u for u in self.lineages if u.key not in lost]
            self.done = {u.key: self.done[u.key] for u in self.lineages}
            if trace:
                self.traces[unit.key] = trace
        elif unit.lineage is not None:
            self.done[unit.key] = unit.generations
        self._show()

    def retries(self, unit: Task, why: str) -> None:
        """A unit has failed, and is going to be tried again from what it has committed."""
        self.places.pop(unit.key, None)
        self.log(f"RETRY   {why}")
        if unit.lineage is not None:
            self.done[unit.key] = unit.generations_done()
        self._show()

    def log(self, line: str) -> None:
        """Print a line that stays."""
        if self.stream is not None:
            self.console.print(Text(line))

    def _say_of(self, unit: Task, line: str) -> None:
        if unit.lineage is None:  # what is said of the data is said of all arms alike
            if line not in self.said:
                self.log(line)
            self.said.add(line)
        else:
            self.log(f"{unit.arm}, {line}")

    def _show(self) -> None:
        now = time.monotonic()
        if self.stream is None or now - self.shown < (SHOW_EVERY if self.is_live else LOG_SECONDS):
            return
        self.shown = now
        places = [str(place) for place in self.places.values()]
        if self.is_live:
            self.live.update(Group(*map(Text, [self._summary(now), *places])), refresh=True)
        else:
            self.console.print(Text("; ".join([self._summary(now), *places])))

    def _summary(self, now: float) -> str:
        whole = self._whole(self.done)
        made, wanted = sum(self.done.values()), sum(unit.generations for unit in self.lineages)
        left = ""
        # A first model may take far longer than the later ones: a whole lineage tells.
        if whole > self._whole(self.before):
            before = sum(self.before[unit.key] for unit in self.lineages)
            seconds = (now - self.began) / (made - before) * (wanted - made)
            left = f", about {format_duration(seconds)} left"
        return f"{whole} of {len(self.lineages)} lineages done, {made:,} of {wanted:,} models{left}"

    def _whole(self, done: Mapping[Key, int]) -> int:
        """Lineages that have come to their end, of those that have not failed."""
        return sum(done[unit.key] >= unit.generations for unit in self.lineages)
