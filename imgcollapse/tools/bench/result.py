"""The results of a bench: one JSON file, written and read by these models."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, computed_field

from imgcollapse.tools.bench.harness import Measurement

T = TypeVar("T")
FORMAT = 1


class Result(BaseModel):
    """Base of everything in the file."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class Side(Result):
    """One side of a comparison.

    Attributes:
        name: of the program.
        rates: units a second, one for each pair.
        processor: units a second of processor time.
        memory: peak MiB of the process, or of the GPU; None where it is not known.
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

    Attributes:
        what: name of the measure; lower is better.
        ours: values of this program, one for each pair or one in all.
        reference: values of the other side.
        bound: how much larger than the reference's mean ours may be, as a share of it.
        curves: of a loss, the means of ten equal parts of the training over all pairs: of this
            program and of the reference.
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

    Attributes:
        part: of the bench.
        title: the work and its size.
        unit: of the rates.
        ours: this program.
        reference: the loop that a user would write.
        quality: of both results.
        step_ratios: ratios of a training's steps alone, pair by pair, without the set-up before
            them; empty where they are not known.
        target: the ratio that this project promises, or None.
        flops: operations of products and convolutions of one unit, of this program.
        peak_share: share of the measured matrix-product peak that this program reaches.
        chosen: this program's precision.
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
    """Times of one generation of a study.

    Attributes:
        number: of the generation; 0 is the set-up before the first model: images, oracle, floors.
        wall: seconds from its start to the next one's.
        seconds: of each stage; "rest" is everything else: selection, saving, tables.
        memory: peak MiB.
    """

    number: int
    wall: float
    seconds: dict[str, float]
    memory: float | None


class Solver(Result):
    """Quality of one model's samples, drawn by one sampler in so many steps.

    Attributes:
        name: of the sampler.
        steps: network evaluations an image.
        rate: images/s.
        metrics: by name: value, lower and upper end of its 95% interval.
    """

    name: str
    steps: int
    rate: float
    metrics: dict[str, tuple[float, float | None, float | None]]


class Report(Result):
    """All results of a bench.

    Attributes:
        format: of this file.
        command: the command line.
        date: in UTC.
        size: of the work.
        machine: processor, cores, threads, versions.
        peak: FLOP/s of the fastest square matrix product, by type.
        generations_per_hour: at the speed of the last of `generations`.
    """

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


def side(name: str, runs: Sequence[Measurement[Any]], units: float) -> Side:
    """One side of a comparison, from runs of `units` each."""
    memories = [run.memory for run in runs if run.memory is not None]
    return Side(
        name=name,
        rates=tuple(units / run.seconds for run in runs),
        processor=tuple(units / run.processor for run in runs),
        memory=max(memories) if memories else None,
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))
