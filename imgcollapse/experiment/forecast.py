"""Estimates a study's time, disk and memory before it starts.

The costs are measured: a few steps, one batch of samples and one evaluation. Nothing is written.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from imgcollapse.config.study import Keep, Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.progress import NullProgress
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.experiment.setup import environment, load_real_data, prepare_codebook, setup_device
from imgcollapse.generators.base import Model
from imgcollapse.runs.lineage_dir import sample_grid
from imgcollapse.runs.tables import Tables
from imgcollapse.training.context import RunContext

RECORD, EVENT, FILE = 12_000, 300, 130
"""Bytes of run.json, of an event, and of a file's entry in a manifest, about."""
BUDGET = 1.5  # seconds of training that are measured, about, and as many again before

DRAWN = 500  # most samples that are drawn


@dataclass(frozen=True)
class TrainingCost:
    """Seconds of a training before its first step, and of each step."""

    setup: float
    step: float

    def seconds(self, steps: int | None) -> float:
        """Seconds of a training of so many steps."""
        return self.setup + self.step * (steps or 0)


@dataclass(frozen=True)
class CostProfile:
    """The measured costs of a study's stages."""

    real: RealData  # its real images
    device: str  # its name
    took: float  # seconds that the measurement took
    load: float  # seconds to load the real images
    oracle: float  # estimated seconds of the oracle's training
    once: float  # seconds of what is made once: codebook, real features, floors, null model
    training: TrainingCost  # of one model
    sample: float  # seconds to sample an image
    measure: float  # seconds to measure a generation
    steps: int  # optimizer steps that were timed
    drawn: int  # images that were drawn
    shared: int  # bytes of what a study keeps once
    model: int  # bytes of a model
    generation: int  # bytes of a generation, without samples, model and training set
    tables: int  # bytes of a generation's rows in the tables
    memory: int | None  # peak bytes of the process; None where the system does not report it
    gpu: int | None  # peak bytes of GPU memory; None without a GPU


def measure_cost(study: Study) -> CostProfile:
    """Loads a study's images, and times a few steps of its oracle, generator and evaluator."""
    began = time.perf_counter()
    device = setup_device(study)
    real = load_real_data(study, None, NullProgress())
    load, seed = _since(began), Seed((study.seed, "probe"))
    context = RunContext(seed, device, real.train.shape, len(real.classes))

    def fit_oracle(part: Any) -> Any:
        return part.fit(real.oracle, real.calibration, context)

    def fit(part: Any) -> Any:
        return part.checked_model("fit", part.fit(real.train, context))

    oracle_steps = study.oracle.training_steps(len(real.oracle))
    oracle, oracle_cost, _ = _try(study.oracle, fit_oracle, oracle_steps)
    at = time.perf_counter()
    codebook = prepare_codebook(study, real, None)
    evaluator = Evaluator(study, real, oracle, device, NullProgress(), codebook)
    once = _since(at)
    steps = study.generator.training_steps(len(real.train))
    model, training, tried = _try(study.generator, fit, steps)
    n = study.samples or len(real.train)
    drawn, sample = _draw(study, real, model, context)
    samples = drawn[torch.arange(n) % len(drawn)]
    at = time.perf_counter()
    evaluator.measure(1, samples)  # the first one makes floors and null model
    cold, at = _since(at), time.perf_counter()
    _, findings = evaluator.measure(1, samples)
    findings["metrics"] += evaluator.likelihood_metrics(1, model)
    measure = _since(at)
    words = findings.pop("words", {})
    tables = Tables()
    tables.add(findings)
    state = {} if study.generator.stores_training_set else model.state()
    shared = [oracle.state(), real.manifest, codebook.state() if codebook else {}]
    shared += [evaluator.reference.state(), evaluator.null_model]
    return CostProfile(
        real=real,
        device=environment(device)["device"],  # pyright: ignore[reportArgumentType]
        took=_since(began),
        load=load,
        oracle=oracle_cost.seconds(oracle_steps),
        once=once + max(cold - measure, 0),
        training=training,
        sample=sample,
        measure=measure,
        steps=tried,
        drawn=len(drawn),
        shared=sum(map(_size, shared)),
        model=_size(state),
        generation=len(json.dumps(findings, indent=2)) + _size(words) + _grid_bytes(real.train),
        tables=tables.size,
        memory=_most_memory(),
        gpu=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
    )


def _try(part: Any, fit: Callable[[Any], Any], steps: int | None) -> tuple[Any, TrainingCost, int]:
    """Trains for one step, then for more; returns the model, its cost, and the steps.

    A part without steps is trained as a whole; one that takes steps must have a setting for them.
    """
    if steps is None:
        at = time.perf_counter()
        return fit(part), TrainingCost(_since(at), 0.0), 0
    one_step = part.with_steps(1)
    if one_step is None:
        raise UserError(
            f"--dry-run: {part.kind} takes steps and has no setting `steps`, so that a few cannot "
            "be timed; give it one"
        )
    first = fit(one_step)  # it loads and allocates
    at = time.perf_counter()
    fit(one_step)
    setup, few, taken = _since(at), 1, 0.0
    if setup > 4 * BUDGET:  # the setup is negligible beside a step
        return first, TrainingCost(0.0, setup), few
    while few < steps and taken < BUDGET:
        few = min(4 * few, steps)
        at = time.perf_counter()
        first = fit(part.with_steps(few))
        taken = _since(at) - setup
    step = max(taken, 0.0) / max(few - 1, 1)
    return first, TrainingCost(max(setup - step, 0.0), step), few


def _draw(study: Study, real: RealData, model: Model, context: RunContext) -> tuple[Images, float]:
    """Draws a batch of samples; returns it and the seconds for each."""
    n = study.samples or len(real.train)
    batch = min(study.generator.images_at_once(n), DRAWN)
    labels = torch.full((batch,), UNKNOWN, dtype=torch.int16)
    if study.generator.conditional:
        labels = study.labels.draw(real.shares, real.shares, batch, context.seed / "labels")
    at = time.perf_counter()
    sampling = context.with_seed(context.seed / "sample")
    drawn = study.generator.checked_sample(model, labels, sampling)
    return drawn, _since(at) / batch


def _since(at: float) -> float:
    return time.perf_counter() - at


def _size(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of a safetensors file, about: its header takes some 80 for a tensor."""
    return sum(t.nbytes + 80 for t in tensors.values()) + (8 if tensors else 0)


def _grid_bytes(images: Images) -> int:
    data = BytesIO()
    sample_grid(images).save(data, "PNG")
    return len(data.getvalue())


def _most_memory() -> int | None:
    """Peak memory of this process in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


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
        seed, needed = Seed((study.seed, "course")), study.generator.training_steps
        sets = list(study.planned_training_sets(real, seed, study.generations))
        sizes = tuple(map(len, sets))
        runs = tuple(len(chosen.runs()["count"]) for chosen in sets)
        return cls(sizes, runs, tuple(needed(n, warm=g > 0) for g, n in enumerate(sizes)))


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
    copies = 2 if study.lineages > 1 else 1
    return profile.shared + RECORD + study.lineages * (real + generations + copies * tables)


def _latest(keep: Keep, generations: int) -> int:
    return generations if keep == "all" else min(keep, generations)


def _memory(study: Study, profile: CostProfile, schedule: Schedule) -> int | None:
    """Bytes at most: those of the profile, and the largest training set beyond the first."""
    if profile.memory is None or study.generator.stores_training_set:
        return profile.memory
    grown = max(schedule.training) - schedule.training[0]
    return profile.memory + max(grown, 0) * math.prod(profile.real.train.shape)
