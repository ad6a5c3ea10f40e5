"""The time of a training's steps alone, without what comes before the first of them."""

from __future__ import annotations

import time

from imgcollapse.core.progress import NullProgress

SETTLED = 0.1
"""Share of the steps after which the clock starts: the first ones load and translate."""


class Pace(NullProgress):
    """Watches a training that waits for its device whenever it reports."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []
        self.steps = 0

    def __call__(
        self, stage: str, step: int, steps: int, images: int = 0, loss: float | None = None
    ) -> None:
        """Note when `step` of `steps` was done."""
        self.steps = steps
        self.marks.append((step, time.perf_counter()))

    @property
    def seconds(self) -> float | None:
        """Seconds a step; None where under half of them lie between reports, or some went back."""
        settled = [mark for mark in self.marks if mark[0] >= SETTLED * self.steps]
        if not settled or (taken := settled[-1][0] - settled[0][0]) < self.steps / 2:
            return None
        if self.marks != sorted(self.marks):
            return None
        return (settled[-1][1] - settled[0][1]) / taken


def faster(ours: list[Pace], theirs: list[Pace]) -> tuple[float, ...]:
    """How many times as fast our steps are, pair by pair; empty where one is not known."""
    pairs = [(a.seconds, b.seconds) for a, b in zip(ours, theirs, strict=True)]
    ratios = [b / a for a, b in pairs if a and b]
    return tuple(ratios) if len(ratios) == len(pairs) else ()
