"""What a bench finds: one JSON file, read back by the same models that wrote it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, computed_field

from imgcollapse.tools.bench.pairs import Measured

T = TypeVar("T")
FORMAT = 1


class Found(BaseModel):
    """Base of everything in the file."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")


class Side(Found):
    """One way of doing some work.

    Attributes:
        name: what it is.
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
        """Of the rates."""
        return statistics.median(self.rates)


class Quality(Found):
    """What must come out the same, or one would be faster by doing less.

    Attributes:
        what: the measure; the lower the better.
        ours: its values for this program, one for each pair or one in all.
        reference: those of the other side.
        bound: how much larger than the reference's mean ours may be, as a share of it.
        curves: where it is a loss: the means of ten equal stretches of the training, this program's
            and the reference's, over all pairs.
    """

    what: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    bound: float
    curves: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @computed_field
    @property
    def difference(self) -> float:
        """Ours less theirs, as a share of theirs."""
        theirs = statistics.fmean(self.reference)
        return statistics.fmean(self.ours) / theirs - 1

    @computed_field
    @property
    def holds(self) -> bool:
        """Whether ours is no worse than the bound allows."""
        return self.difference <= self.bound


class Comparison(Found):
    """The same work done by this program and by a reference, measured in turns.

    Attributes:
        part: of the bench.
        title: what is done, at which size.
        unit: of the rates.
        ours: this program.
        reference: what a user would run.
        quality: what came of both.
        step_ratios: the same of a training's steps alone, pair by pair: without what comes before
            the first of them. Empty where that is not known.
        target: the ratio that this project promises, or None.
        flops: operations of products and convolutions of one unit, of this program.
        peak_share: share of the measured matrix-product peak that this program reaches.
        chosen: what this program chose by itself, such as the precision.
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
        """The same by processor time: where others work too, clocks measure them as well."""
        return statistics.median(_ratios(self.ours.processor, self.reference.processor))


class Check(Found):
    """A number, and the limit that is promised for it, if one is."""

    part: str
    what: str
    value: float
    limit: float | None
    detail: str = ""

    @computed_field
    @property
    def holds(self) -> bool:
        """Whether it lies within."""
        return self.limit is None or self.value <= self.limit


class Generation(Found):
    """Where the time of one generation of a study went.

    Attributes:
        number: of the generation; 0 is what comes before the first model: images, oracle, floors.
        wall: seconds from its beginning to the next one's.
        seconds: of each stage; "rest" is what is left: choosing, saving, tables.
        memory: peak MiB.
    """

    number: int
    wall: float
    seconds: dict[str, float]
    memory: float | None


class Solver(Found):
    """Quality against steps: what one sampler draws of one model in so many steps.

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


class Report(Found):
    """Everything a bench found.

    Attributes:
        format: of this file.
        command: what was run.
        date: when, in UTC.
        size: of the work.
        machine: processor, cores, threads, versions.
        peak: FLOP/s of the fastest square matrix product, by type.
        generations_per_hour: of the study in `generations`, as fast as its last one.
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
        """Of the last generation's speed."""
        return 3600 / self.generations[-1].wall if self.generations else None


def side(name: str, runs: Sequence[Measured[Any]], units: float) -> Side:
    """Of `units` in each run."""
    memories = [run.memory for run in runs if run.memory is not None]
    return Side(
        name=name,
        rates=tuple(units / run.seconds for run in runs),
        processor=tuple(units / run.processor for run in runs),
        memory=max(memories) if memories else None,
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))
