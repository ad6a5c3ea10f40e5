"""Estimates a study's time, disk and memory before it starts.

profile.py measures the costs: a few steps, one batch of samples and one evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from imgcollapse.config.study import Keep, Study
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
from imgcollapse.experiment.forecast.profile import CostProfile, measure_cost

__all__ = ["CostProfile", "Forecast", "Schedule", "forecast", "measure_cost"]

RECORD, EVENT, FILE = 12_000, 300, 130
"""Bytes of run.json, of an event, and of a file's entry in a manifest, about."""


@dataclass(frozen=True)
class Schedule:
    """The training sets and optimizer steps of one lineage, counted without training anything."""

    training: tuple[int, ...]  # images in the training set of models 1 .. G.
    runs: tuple[int, ...]  # runs of consecutive rows that each training set is recorded as
    # Optimizer steps of each model; None of a generator that takes none
    steps: tuple[int | None, ...]

    @classmethod
    def of(cls, study: Study, real: RealData) -> Schedule:
        """Asks the regime for every training set, and the generator for its steps."""
        sets = [
            (len(chosen), len(chosen.runs()["count"]))
            for chosen in study.planned_training_sets(
                real, Seed((study.seed, "course")), study.generations
            )
        ]
        steps = [
            study.generator.training_steps(size, warm=g > 0) for g, (size, _) in enumerate(sets)
        ]
        training, runs = zip(*sets, strict=True)
        return cls(training, runs, tuple(steps))


@dataclass(frozen=True)
class Forecast:
    """The expected time, disk and memory of a study."""

    study: Study  # its settings
    schedule: Schedule  # of each of its lineages
    profile: CostProfile  # the measured costs
    oracle: float  # seconds of preparation: real images, oracle, codebook, floors
    training: float  # seconds of training, over all lineages; likewise `sampling` and `measuring`
    sampling: float  # of drawing samples
    measuring: float  # of classifying and measuring them
    disk: int  # bytes of the run folder without report.html
    memory: int | None  # bytes of the process; None where the system does not report it

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
    study: Study, profile: CostProfile, oracle_is_there: bool = False, first_models_there: int = 0
) -> Forecast:
    """Estimates the cost of a study that has not begun.

    The profile is of it, or of one that differs in nothing that costs time. Another study may have
    the same oracle, and the first models of some lineages.
    """
    schedule = Schedule.of(study, profile.real)
    n, lineages = study.samples or len(profile.real.train), study.lineages
    first = _fitted(profile, schedule, 0)
    lineage = math.fsum(_fitted(profile, schedule, g) for g in range(study.generations))
    return Forecast(
        study,
        schedule,
        profile,
        profile.load + profile.once + (0.0 if oracle_is_there else profile.oracle),
        lineages * lineage - min(first_models_there, lineages) * first,
        lineages * study.generations * n * profile.sample,
        lineages * (study.generations + 1) * profile.measure,
        _disk(study, profile, schedule, n),
        _memory(study, profile, schedule),
    )


def _fitted(profile: CostProfile, schedule: Schedule, g: int) -> float:
    """Seconds to train model g + 1; the part before its steps grows with the training set."""
    grown = schedule.training[g] / max(schedule.training[0], 1)
    return profile.training.setup * grown + profile.training.step * (schedule.steps[g] or 0)


def _disk(study: Study, profile: CostProfile, schedule: Schedule, n: int) -> int:
    """Bytes of the run folder."""
    pixels = math.prod(profile.real.train.shape)
    kept, models = study.retention.samples, study.retention.models
    real = len(profile.real.train) * (pixels + 4) + profile.generation + 3 * FILE
    generations = (
        _latest(kept, study.generations) * n * (pixels + 4)
        + _latest(models, study.generations) * profile.model
        + study.generations * (profile.generation + 5 * FILE + EVENT)
        + 10 * sum(schedule.runs)
    )
    tables = (study.generations + 1) * profile.tables
    # Several lineages have tables of their own, and one over all.
    return (
        profile.shared
        + RECORD
        + study.lineages * (real + generations + tables)
        + (study.lineages * tables if study.lineages > 1 else 0)
    )


def _latest(keep: Keep, generations: int) -> int:
    return generations if keep == "all" else min(keep, generations)


def _memory(study: Study, profile: CostProfile, schedule: Schedule) -> int | None:
    """Bytes at most: those of the profile, and the largest training set beyond the first."""
    if profile.memory is None or study.generator.stores_training_set:
        return profile.memory
    grown = max(schedule.training) - schedule.training[0]
    return profile.memory + max(grown, 0) * math.prod(profile.real.train.shape)
