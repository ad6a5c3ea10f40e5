"""Progress reports: the callback that work takes, and durations in words."""

from __future__ import annotations

from typing import Protocol

LOG_SECONDS = 15.0
"""Seconds between two progress lines in a log file."""


class ProgressCallback(Protocol):
    """A callable that takes the progress of one stage of the work."""

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Takes the steps and images done of a stage such as "train", and its latest loss."""


class StudyLength(Protocol):
    """The number of lineages and generations of a study; `Study` has both."""

    @property
    def lineages(self) -> int:
        """Lineages in all."""
        ...

    @property
    def generations(self) -> int:
        """Models trained in each lineage."""
        ...


class ProgressReporter(ProgressCallback, Protocol):
    """Takes the progress of a whole study."""

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        """Called when a generation begins; 0 is the oracle's training."""

    def log(self, line: str) -> None:
        """Takes one line for the user."""


class NullProgress:
    """A progress reporter that shows nothing."""

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        """Does nothing."""

    def log(self, line: str) -> None:
        """Does nothing."""

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        """Does nothing."""


def format_duration(seconds: float) -> str:
    """Returns a duration in words: "40 s", "4 min 05 s", "2 h 10 min"."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
