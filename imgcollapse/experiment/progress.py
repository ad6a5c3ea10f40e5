"""Telling how far a study is: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from imgcollapse.config.study import Study
from imgcollapse.core.progress import ProgressCallback

LOG_EVERY = 15.0
"""Seconds between two progress lines in a log."""


class ProgressReporter(ProgressCallback, Protocol):
    """Somebody who watches a study."""

    def start_generation(self, lineage: int, generation: int, study: Study) -> None:
        """A generation begins; 0 is the oracle's training."""

    def log(self, line: str) -> None:
        """One line that stays."""


class NullProgress:
    """Watches and says nothing."""

    def start_generation(self, lineage: int, generation: int, study: Study) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Nothing."""


class ConsoleProgress:
    """Shows generation, stage, step, loss, rate and time left.

    Use as a context manager: the live line is taken away at the end, what was said stays.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Show on `stream`, or on what is stderr now."""
        self.console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, transient=True, auto_refresh=False)
        self.place = self.stage = ""
        self.shown = self.stage_began = self.generation_began = time.monotonic()
        self.first_step = self.first_images = 0
        self.lap = 0.0  # seconds the last whole generation took: a warm start's first is longer
        self.generations_left = 0

    def __enter__(self) -> ConsoleProgress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def start_generation(self, lineage: int, generation: int, study: Study) -> None:
        """Note the place, and learn from the generation done how long one takes."""
        now = time.monotonic()
        if self.generations_left:
            self.lap = now - self.generation_began
        self.generation_began, self.stage = now, ""
        if generation == 0:
            self.place = "oracle"
            return
        self.generations_left = (study.lineages - lineage) * study.generations - generation + 1
        self.place = f"generation {generation}/{study.generations}"
        if study.lineages > 1:
            self.place = f"lineage {lineage + 1}/{study.lineages} · {self.place}"

    def log(self, line: str) -> None:
        """Print a line above the live one."""
        self.console.print(Text(line))

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Show a step; in a log only every `LOG_EVERY` seconds."""
        now = time.monotonic()
        if stage != self.stage:
            # The first report comes some steps in, so rates are counted from it.
            self.stage, self.stage_began = stage, now
            self.first_step, self.first_images = step, images
        if not self.console.is_terminal and now - self.shown < LOG_EVERY:
            return
        self.shown = now
        parts = [self.place, f"{stage} {step:,}/{steps:,}"]
        if loss is not None:
            parts.append(f"loss {loss:.4f}")
        if (seconds := now - self.stage_began) > 0 and images > self.first_images:
            parts.append(f"{(images - self.first_images) / seconds:,.0f} images/s")
        if left := self._left(now, step, steps):
            parts.append(left)
        line = Text(" · ".join(filter(None, parts)))
        if self.console.is_terminal:
            self.live.update(line, refresh=True)
        else:
            self.console.print(line)

    def _left(self, now: float, step: int, steps: int) -> str:
        """Time to the study's end once a generation is done; before, to the stage's end."""
        if self.lap:
            here = max(self.lap - (now - self.generation_began), 0)
            return f"about {format_duration(here + self.lap * (self.generations_left - 1))} left"
        if step > self.first_step:
            each = (now - self.stage_began) / (step - self.first_step)
            return f"{self.stage} ends in about {format_duration(each * (steps - step))}"
        return ""


def format_duration(seconds: float) -> str:
    """A length of time as a reader likes it: "40 s", "4 min 05 s", "2 h 10 min"."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
