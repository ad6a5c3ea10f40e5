"""Progress of a study on the console: a bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from imgcollapse.core.progress import LOG_SECONDS, StudyLength, format_duration

REFRESH_SECONDS = 0.1
"""Seconds between two pictures of the bar."""
PACE_SECONDS = 60.0
"""The pace is measured over the last so many seconds, so that a slower machine is noticed."""


class ConsoleProgress:
    """Shows generation, stage, step, loss, rate and time left.

    Use as a context manager: the bar is removed at the end, logged lines stay.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self.clock = clock
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[details]}", markup=False, table_column=Column(no_wrap=False)),
            console=self.console,
            transient=True,
            auto_refresh=False,
            get_time=clock,
        )
        self.task = self.bar.add_task("", visible=False, details="")
        self.place = self.stage = ""
        self.generations_left = 0
        self.shown = self.stage_began = clock()
        self.laps: list[float] = []  # seconds of the stages of this generation that are done
        self.last_laps: list[float] = []  # and of all stages of the generation before
        self.reports: deque[tuple[float, int, int]] = deque()  # time, step, images of this stage

    def __enter__(self) -> ConsoleProgress:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        """Notes the generation, and how long the stages of the one before took."""
        self._start_stage("", self.clock())
        # The first generation of all is no guide before it is over; the oracle never is.
        self.last_laps, self.laps = self.laps if self.generations_left else [], []
        if generation == 0:
            self.place = "oracle"
            return
        self.generations_left = (study.lineages - lineage) * study.generations - generation + 1
        self.place = f"generation {generation}/{study.generations}"
        if study.lineages > 1:
            self.place = f"lineage {lineage + 1}/{study.lineages} · {self.place}"

    def log(self, line: str) -> None:
        """Prints a line above the bar."""
        self.console.print(Text(line))

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Shows a step; in a log file only every `LOG_SECONDS`."""
        now = self.clock()
        if stage != self.stage:
            self._start_stage(stage, now)
        # The first report comes some steps into the stage, so the pace is counted from it.
        self.reports.append((now, step, images))
        while len(self.reports) > 2 and self.reports[1][0] <= now - PACE_SECONDS:
            self.reports.popleft()
        terminal = self.console.is_terminal
        if now - self.shown < (REFRESH_SECONDS if terminal else LOG_SECONDS):
            return
        self.shown = now
        details = [f"{step:,}/{steps:,}"]
        if loss is not None:
            details.append(f"loss {loss:.4f}")
        then, _, before = self.reports[0]
        if now > then and images > before:
            details.append(f"{(images - before) / (now - then):,.0f} images/s")
        if left := self._time_left(now, step, steps):
            details.append(left)
        place = f"{self.place} · {stage}" if self.place else stage
        if terminal:
            self.bar.update(
                self.task,
                description=place,
                total=steps,
                completed=step,
                visible=True,
                details=" · ".join(details),
                refresh=True,
            )
        else:
            self.console.print(Text(f"{place} {' · '.join(details)}"))

    def _start_stage(self, stage: str, now: float) -> None:
        self.laps.append(now - self.stage_began)
        self.stage, self.stage_began = stage, now
        self.reports.clear()

    def _time_left(self, now: float, step: int, steps: int) -> str:
        """Time to the end of the study once a generation is done; before, to the stage's end."""
        then, first, _ = self.reports[0]
        spent, stage_left = now - self.stage_began, None
        if step > first:
            stage_left = (now - then) / (step - first) * (steps - step)
        if not self.last_laps:
            if stage_left is None:
                return ""
            return f"{self.stage} ends in about {format_duration(max(stage_left, 1))}"
        done = len(self.laps)
        if stage_left is None:
            stage_left = max(sum(self.last_laps[done : done + 1]) - spent, 0)
        # As much slower or faster as this generation is up to the end of this stage, so will be
        # the stages that follow.
        here, expected = sum(self.laps) + spent, sum(self.last_laps[: done + 1])
        factor = (here + stage_left) / expected if expected else 1.0
        generation_left = stage_left + factor * sum(self.last_laps[done + 1 :])
        left = generation_left + (here + generation_left) * (self.generations_left - 1)
        return f"about {format_duration(max(left, 1))} left"
