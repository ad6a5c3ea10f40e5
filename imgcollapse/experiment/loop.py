"""One lineage, top to bottom: curate, select, fit, sample, name, measure, commit, and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imgcollapse import metrics
from imgcollapse.config.study import Study
from imgcollapse.core import signals
from imgcollapse.core.errors import Diverged, UserError
from imgcollapse.core.grid import sample_grid
from imgcollapse.core.images import UNKNOWN, Images, class_shares
from imgcollapse.core.lineage_images import LineageImages, TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment import data_parallel
from imgcollapse.experiment.curation_stage import CurationStage
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.generators.base import Model
from imgcollapse.io import schemas
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.runs.lineage_dir import DIVERGED, Lineage, PrunedError
from imgcollapse.runs.retention import expired, prune
from imgcollapse.training.context import RunContext


def run_lineage(evaluator: Evaluator, lineage: Lineage, sibling: Lineage | None = None) -> None:
    """Let one lineage live from where it stands to the study's last generation.

    Args:
        laboratory: what it shares with the other lineages of the study.
        lineage: its folder; nobody else may work in it meanwhile.
        sibling: the same lineage of a study that differs in nothing the first model learns from;
            that model is taken over where the training set is the same, for the same bits as
            training it again.

    Raises:
        UserError: nothing is left to train on, or a filter cannot judge.
        Diverged: a model, or its samples, are no longer numbers; the lineage ends there.
        Stopped: a signal asked for it; what is done is kept.
    """
    study, real, reporter = evaluator.study, evaluator.real, evaluator.reporter
    gate = CurationStage(evaluator, lineage)
    archive = gate.restore(LineageImages(real.train, real.reserve))
    _refuse_diverged(lineage, study.generations)
    prune(lineage, study.retention)
    if lineage.generations == 0:
        counted, findings = evaluator.real_generation
        lineage.commit(0, real.train, counted, sample_grid(real.train), findings)
    for g in range(lineage.generations, study.generations + 1):
        signals.raise_if_stop_requested()
        reporter.start_generation(lineage.number, g, study)
        seed, clock = Seed((study.seed, lineage.number, g)), _Clock()
        kept, choice = gate.apply(archive, g - 1, seed / "curate")
        clock.lap("curate")
        training_set = study.regime.select(archive, g, seed / "select")
        if not len(training_set):
            raise UserError(f"{lineage.folder(g - 1)}: curation left nothing to train on")
        if len(training_set) > schemas.MAX_TRAINING_IMAGES:
            raise UserError(
                f"{lineage.path}: generation {g} would train on {len(training_set):,} images, and "
                f"{schemas.MAX_TRAINING_IMAGES:,} is the most; use regime accumulate-subsample"
            )
        images = archive.gather(training_set)
        checkpoints = _checkpoints(evaluator, lineage, g, archive, training_set)
        shape, classes = real.train.shape, len(real.classes)
        context = RunContext(seed, evaluator.device, shape, classes, reporter, checkpoints)
        with _saved_or_ended(lineage, g, checkpoints):
            model = _inherited(evaluator, archive, training_set, context, sibling, g)
            model = model or _fit(study, lineage, g, images, context.with_seed(seed / "fit"))
            clock.lap("fit")
            labels = _asked(evaluator, archive, training_set, seed / "labels")
            drawn = data_parallel.sample(
                study.generator, model, labels, context.with_seed(seed / "sample")
            )
        samples = gate.watermark(drawn, seed / "mark")
        clock.lap("sample")
        reporter("measure", 0, 1, 0)
        counted, findings = evaluator.measure(g, samples)
        findings["metrics"] += gate.notes(g, drawn, samples, seed / "remarks")
        findings["metrics"] += evaluator.likelihood_metrics(g, model)
        clock.lap("measure")
        remark = metrics.degenerate(drawn.pixels, archive.generations[-1].pixels)
        findings |= {
            **choice,
            "training": checkpoints.metadata,
            "remarks": [remark] if remark else [],
        }
        findings["seconds"] = clock.laps
        grid = sample_grid(samples)
        learned = None if study.generator.stores_training_set else model.state()
        reporter("commit", 0, 1, 0)
        lineage.commit(g, samples, counted, grid, findings, training_set, learned, kept)
        checkpoints.delete()
        prune(lineage, study.retention, expired(study.retention, g))
        archive.append(lineage.samples(g))
        place = f"lineage {lineage.number}, " if study.lineages > 1 else ""
        for line in (_summary(findings["census"], real.shares), *findings["remarks"]):
            reporter.log(f"{place}generation {g}: {line}")


def _fit(study: Study, lineage: Lineage, g: int, images: Images, context: RunContext) -> Model:
    """Trains the g-th model, with the previous one if the generator needs it."""
    generator, previous = study.generator, None
    if generator.needs_previous and g > 1:
        previous = generator.restore(lineage.model(g - 1), context)
    return data_parallel.fit(generator, images, context, previous)


def _checkpoints(
    evaluator: Evaluator,
    lineage: Lineage,
    g: int,
    archive: LineageImages,
    training_set: TrainingSet,
) -> CheckpointManager:
    """Where the work on the g-th model is kept until it is committed, and what it rests on."""
    study = evaluator.study
    belongs = {
        "seed": [study.seed, lineage.number, g],
        "generator": study.generator.model_dump(mode="json"),
        "training_set": sha256_of_tensors(
            {**vars(training_set), "labels": archive.labels(training_set)}
        ),
        "after": lineage.manifest(g - 1)["files"],
    }
    return CheckpointManager(
        lineage.checkpoint_folder(g), study.checkpoint_seconds, belongs, evaluator.reporter.log
    )


@contextmanager
def _saved_or_ended(lineage: Lineage, g: int, checkpoints: CheckpointManager) -> Iterator[None]:
    """Where the g-th model or its samples are no numbers, the lineage ends before it."""
    try:
        yield
    except Diverged as lost:
        checkpoints.delete()
        lineage.mark_diverged(g, str(lost))
        _refuse_diverged(lineage, g)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{lineage.path}: out of memory in generation {g}; use a smaller network or smaller "
            "images, or device=cpu"
        ) from None


def _refuse_diverged(lineage: Lineage, generations: int) -> None:
    """Do not train again what could not be saved."""
    ended = lineage.diverged
    if ended and lineage.generations <= generations:
        raise Diverged(
            f"{lineage.path}: generation {ended['generation']} diverged: {ended['why']}; to train "
            f"it again remove {DIVERGED} there"
        )


def _inherited(
    evaluator: Evaluator,
    archive: LineageImages,
    training_set: TrainingSet,
    context: RunContext,
    sibling: Lineage | None,
    g: int,
) -> Model | None:
    """The sibling's first model, if it has one that was trained on the same images and labels."""
    if (
        g > 1
        or evaluator.study.generator.stores_training_set
        or sibling is None
        or sibling.generations < 2
    ):
        return None
    real, theirs = evaluator.real, sibling.training_set(1)
    pool = LineageImages(real.train, real.reserve)
    if (kept := sibling.selection(0)) is not None:
        pool.restrict(0, kept)
    if not (
        torch.equal(theirs.generation, training_set.generation)
        and torch.equal(theirs.row, training_set.row)
        and torch.equal(pool.labels(theirs), archive.labels(training_set))
    ):
        return None
    try:
        state = sibling.model(1)
    except PrunedError:
        return None
    context.checkpoints.metadata |= sibling.manifest(1).get("training", {})
    return evaluator.study.generator.restore(state, context)


def _asked(
    evaluator: Evaluator, archive: LineageImages, training_set: TrainingSet, seed: Seed
) -> Tensor:
    """int16[samples] labels to ask for; `UNKNOWN` of an unconditional model."""
    study, real = evaluator.study, evaluator.real
    n = study.samples or len(real.train)
    if not study.generator.conditional:
        return torch.full((n,), UNKNOWN, dtype=torch.int16)
    training = class_shares(archive.labels(training_set), len(real.classes))
    return study.labels.draw(training, real.shares, n, seed)


class _Clock:
    """Seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 3), now


def _summary(rows: Sequence[Mapping[str, Any]], real: Tensor) -> str:
    """What the census of a generation says, in a line."""
    *classes, unrecognised = rows
    recognised = f"{1 - unrecognised['frequency']:.1%} recognised"
    if any(row["frequency"] is None for row in classes):
        return recognised
    detected = sum(row["low"] > 0 for row in classes)
    distance = sum(abs(row["frequency"] - p) for row, p in zip(classes, real.tolist(), strict=True))
    return (
        f"{recognised}, {detected} of {len(classes)} classes detected, "
        f"total variation to the real shares {distance / 2:.3f}"
    )
