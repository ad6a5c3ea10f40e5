"""A study's time, disk and memory, from what was counted and what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imgcollapse.config.retention import Keep
from imgcollapse.config.study import Study
from imgcollapse.experiment.forecast.profile import CostProfile
from imgcollapse.experiment.forecast.schedule import Schedule

RECORD, EVENT, FILE = 12_000, 300, 130
"""Bytes of run.json, of an event, and of what a manifest says of a file, about."""


@dataclass(frozen=True)
class Forecast:
    """What a study takes.

    Attributes:
        study: its settings.
        course: of each of its lineages.
        probe: what was measured.
        oracle: seconds of getting ready: images, oracle, words, floors.
        training: seconds of training, over all lineages; likewise `sampling` and `measuring`.
        sampling: of drawing samples.
        measuring: of naming and measuring them.
        disk: bytes of the run folder without report.html.
        memory: bytes of the process; None where the system does not say.
    """

    study: Study
    schedule: Schedule
    profile: CostProfile
    oracle: float
    training: float
    sampling: float
    measuring: float
    disk: int
    memory: int | None

    @property
    def seconds(self) -> float:
        """The time of all lineages, one after another."""
        return self.oracle + self.training + self.sampling + self.measuring

    @property
    def steps(self) -> int | None:
        """Optimizer steps of all lineages; None of a generator that takes none."""
        known = [steps for steps in self.schedule.steps if steps is not None]
        return self.study.lineages * sum(known) if known else None

    @property
    def samples(self) -> int:
        """Samples of a generation."""
        return self.study.samples or len(self.profile.real.train)


def forecast(
    study: Study, probe: CostProfile, oracle_is_there: bool = False, first_models_there: int = 0
) -> Forecast:
    """What a study takes that has not begun.

    Args:
        study: its settings.
        probe: of it, or of one that differs in nothing that costs time.
        oracle_is_there: whether another study has the same oracle.
        first_models_there: of how many lineages another study has the same first model.
    """
    course = Schedule.of(study, probe.real)
    n, lineages = study.samples or len(probe.real.train), study.lineages
    first = _fitted(probe, course, 0)
    lineage = math.fsum(_fitted(probe, course, g) for g in range(study.generations))
    return Forecast(
        study,
        course,
        probe,
        probe.load + probe.once + (0.0 if oracle_is_there else probe.oracle),
        lineages * lineage - min(first_models_there, lineages) * first,
        lineages * study.generations * n * probe.sample,
        lineages * (study.generations + 1) * probe.measure,
        _disk(study, probe, course, n),
        _memory(study, probe, course),
    )


def _fitted(probe: CostProfile, course: Schedule, g: int) -> float:
    """Seconds of a model's training; what comes before its steps grows with the training set."""
    grown = course.training[g] / max(course.training[0], 1)
    return probe.training.setup * grown + probe.training.step * (course.steps[g] or 0)


def _disk(study: Study, probe: CostProfile, course: Schedule, n: int) -> int:
    """Bytes of the run folder."""
    pixels = math.prod(probe.real.train.shape)
    kept, models = study.retention.samples, study.retention.models
    real = len(probe.real.train) * (pixels + 4) + probe.generation + 3 * FILE
    born = (
        _latest(kept, study.generations) * n * (pixels + 4)
        + _latest(models, study.generations) * probe.model
        + study.generations * (probe.generation + 5 * FILE + EVENT)
        + 10 * sum(course.runs)
    )
    tables = (study.generations + 1) * probe.tables
    # Several lineages have tables of their own, and one over all.
    return (
        probe.shared
        + RECORD
        + study.lineages * (real + born + tables)
        + (study.lineages * tables if study.lineages > 1 else 0)
    )


def _latest(keep: Keep, generations: int) -> int:
    return generations if keep == "all" else min(keep, generations)


def _memory(study: Study, probe: CostProfile, course: Schedule) -> int | None:
    """Bytes at most: the probe's, and a copy of the largest training set beyond the first."""
    if probe.memory is None or study.generator.stores_training_set:
        return probe.memory
    grown = max(course.training) - course.training[0]
    return probe.memory + max(grown, 0) * math.prod(probe.real.train.shape)
