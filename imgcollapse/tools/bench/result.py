"""The results of a bench: one JSON file, written and read by these models."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field

FORMAT = 1


class Result(BaseModel):
    """Base of everything in the file."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class Side(Result):
    """One side of a comparison: units a second, also of processor time, one for each pair.

    `memory` is the peak in MiB of the process or of the GPU; None where it is not known.
    """

    name: str
    rates: tuple[float, ...]
    processor: tuple[float, ...]
    memory: float | None

    @computed_field
    @property
    def median(self) -> float:
        """Median of the rates."""
        return statistics.median(self.rates)


class Quality(Result):
    """Quality of both results, which must be equal: doing less is an easy way to be faster.

    Lower is better. There is a value for each pair, or one in all; `bound` is how much larger than
    the reference's mean ours may be, as a share of it. `curves` are the means of a loss in ten
    equal parts of the training over all pairs: of this program and of the reference.
    """

    what: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    bound: float
    curves: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @computed_field
    @property
    def difference(self) -> float:
        """Mean of ours less that of theirs, as a share of theirs."""
        theirs = statistics.fmean(self.reference)
        return statistics.fmean(self.ours) / theirs - 1

    @computed_field
    @property
    def holds(self) -> bool:
        """Whether ours is no worse than the bound allows."""
        return self.difference <= self.bound


class Comparison(Result):
    """The same work done by this program and by a reference, measured in turns.

    `step_ratios` are of a training's steps alone, without the set-up before them; empty where they
    are not known. `target` is the ratio that this project promises; `flops` are the operations of
    products and convolutions of one unit; `peak_share` is the share of the measured matrix-product
    peak that this program reaches in its precision, `chosen`.
    """

    part: str
    title: str
    unit: str = "images/s"
    ours: Side
    reference: Side
    quality: Quality | None = None
    step_ratios: tuple[float, ...] = ()
    target: float | None = None
    flops: float | None = None
    peak_share: float | None = None
    chosen: str = ""

    @computed_field
    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours over theirs, pair by pair."""
        return _ratios(self.ours.rates, self.reference.rates)

    @computed_field
    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @computed_field
    @property
    def processor_ratio(self) -> float:
        """Median of the ratios of processor time, which other programs change less."""
        return statistics.median(_ratios(self.ours.processor, self.reference.processor))


class Check(Result):
    """A number, and the limit that is promised for it, if any."""

    part: str
    what: str
    value: float
    limit: float | None
    detail: str = ""

    @computed_field
    @property
    def holds(self) -> bool:
        """Whether the value is within the limit."""
        return self.limit is None or self.value <= self.limit


class Generation(Result):
    """Seconds of one generation in all and by stage, and its peak of memory in MiB.

    Generation 0 is the set-up before the first model: images, oracle, floors; the stage "rest" is
    everything that is no other stage: selection, saving, tables.
    """

    number: int
    wall: float
    seconds: dict[str, float]
    memory: float | None


class Solver(Result):
    """Quality of one model's samples, drawn by one sampler in so many network evaluations.

    `rate` is in images/s; `metrics` have a value and the ends of its 95% interval.
    """

    name: str
    steps: int
    rate: float
    metrics: dict[str, tuple[float, float | None, float | None]]


class Report(Result):
    """All results of a bench: the file. `peak` is FLOP/s of square matrix products, by type."""

    format: Literal[1] = FORMAT
    command: str
    date: str
    size: str
    machine: dict[str, Any]
    peak: dict[str, float]
    comparisons: tuple[Comparison, ...] = ()
    generations: tuple[Generation, ...] = ()
    solvers: tuple[Solver, ...] = ()
    checks: tuple[Check, ...] = ()

    @computed_field
    @property
    def generations_per_hour(self) -> float | None:
        """Generations an hour, at the speed of the last one."""
        return 3600 / self.generations[-1].wall if self.generations else None


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))
