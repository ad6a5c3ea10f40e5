"""The loop over one lineage's generations: curate, select, fit, sample, measure, commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imgcollapse import metrics
from imgcollapse.core import signals
from imgcollapse.core.errors import Diverged, UserError
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
from imgcollapse.training.context import RunContext


def run_lineage(evaluator: Evaluator, lineage: Lineage, sibling: Lineage | None = None) -> None:
    """Runs one lineage from its last committed generation to the end of the study.

    No other process may work in it meanwhile. The first model of `sibling`, the same lineage of a
    study that differs in nothing it is trained on, is reused if the training set is the same.

    Raises:
        UserError: no image is left to train on, or a filter cannot run.
        Diverged: a model or its samples are not finite; the lineage ends there.
        Stopped: a signal asked for it; what is done is kept.
    """
    study, real, reporter = evaluator.study, evaluator.real, evaluator.reporter
    generator = study.generator
    curation = CurationStage(evaluator, lineage)
    images = curation.restore(LineageImages(real.train, real.reserve))
    _raise_if_diverged(lineage, study.generations)
    lineage.prune(study.retention)
    if lineage.generations == 0:
        counted, findings = evaluator.real_generation
        lineage.commit(0, real.train, counted, findings)
    for g in range(lineage.generations, study.generations + 1):
        signals.raise_if_stop_requested()
        reporter.start_generation(lineage.number, g, study)
        seed, clock = Seed((study.seed, lineage.number, g)), _Clock()

        selection, curated = curation.apply(images, g - 1, seed / "curate")
        clock.lap("curate")
        training_set = study.regime.select(images, g, seed / "select")
        _check_size(lineage, g, training_set)
        classes = images.labels(training_set)
        context = _context(evaluator, lineage, g, training_set, classes)
        with _marking_divergence(lineage, g, context.checkpoints):
            model = None
            if sibling and g == 1:
                model = _sibling_model(evaluator, training_set, classes, context, sibling)
            model = model or _fit(evaluator, lineage, g, images.gather(training_set), context)
            clock.lap("fit")
            labels = _labels_to_ask(evaluator, classes, seed / "labels")
            sampling = context.with_seed(seed / "sample")
            drawn = data_parallel.sample(generator, model, labels, sampling)
        samples = curation.watermark(drawn, seed / "mark")
        clock.lap("sample")

        reporter("measure", 0, 1, 0)
        counted, findings = evaluator.measure(g, samples)
        findings["metrics"] += curation.metric_rows(g, drawn, samples, seed / "remarks")
        findings["metrics"] += evaluator.likelihood_metrics(g, model)
        clock.lap("measure")
        warning = metrics.degenerate(drawn.pixels, images.generations[-1].pixels)
        findings |= curated | {
            "training": context.checkpoints.metadata,
            "remarks": [warning] if warning else [],
            "seconds": clock.laps,
        }

        reporter("commit", 0, 1, 0)
        state = None if generator.stores_training_set else generator.checked_state(model)
        lineage.commit(g, samples, counted, findings, training_set, state, selection)
        context.checkpoints.delete()
        lineage.prune(study.retention, study.retention.expired(g))
        images.append(lineage.samples(g))
        place = f"lineage {lineage.number}, " if study.lineages > 1 else ""
        for line in (_summary(findings["census"], real.shares), *findings["remarks"]):
            reporter.log(f"{place}generation {g}: {line}")


def _check_size(lineage: Lineage, g: int, training_set: TrainingSet) -> None:
    if not len(training_set):
        raise UserError(f"{lineage.folder(g - 1)}: curation left nothing to train on")
    if len(training_set) > schemas.MAX_TRAINING_IMAGES:
        raise UserError(
            f"{lineage.path}: generation {g} would train on {len(training_set):,} images, and "
            f"{schemas.MAX_TRAINING_IMAGES:,} is the most; use regime accumulate-subsample"
        )


def _context(
    evaluator: Evaluator, lineage: Lineage, g: int, training_set: TrainingSet, classes: Tensor
) -> RunContext:
    """Context of generation g; its checkpoints are keyed by everything its training depends on."""
    study, real, reporter = evaluator.study, evaluator.real, evaluator.reporter
    key = {
        "seed": [study.seed, lineage.number, g],
        "generator": study.generator.model_dump(mode="json"),
        "training_set": sha256_of_tensors({**vars(training_set), "labels": classes}),
        "after": lineage.manifest(g - 1)["files"],
    }
    folder, seconds = lineage.checkpoint_folder(g), study.checkpoint_seconds
    checkpoints = CheckpointManager(folder, seconds, key, reporter.log)
    seed, shape = Seed((study.seed, lineage.number, g)), real.train.shape
    return RunContext(seed, evaluator.device, shape, len(real.classes), reporter, checkpoints)


def _fit(
    evaluator: Evaluator, lineage: Lineage, g: int, images: Images, context: RunContext
) -> Model:
    """Trains the g-th model, from the previous one if the generator needs it."""
    generator, previous = evaluator.study.generator, None
    if generator.needs_previous and g > 1:
        restored = generator.restore(lineage.model(g - 1), context)
        previous = generator.checked_model("restore", restored)
    training = context.with_seed(context.seed / "fit")
    return data_parallel.fit(generator, images, training, previous)


def _sibling_model(
    evaluator: Evaluator,
    training_set: TrainingSet,
    classes: Tensor,
    context: RunContext,
    sibling: Lineage,
) -> Model | None:
    """The sibling's first model, if it was trained on the same images and labels."""
    generator, real = evaluator.study.generator, evaluator.real
    if sibling.generations < 2 or generator.stores_training_set:
        return None
    theirs, their_images = sibling.training_set(1), LineageImages(real.train, real.reserve)
    if (selection := sibling.selection(0)) is not None:
        their_images.restrict(0, selection)
    if not (
        torch.equal(theirs.generation, training_set.generation)
        and torch.equal(theirs.row, training_set.row)
        and torch.equal(their_images.labels(theirs), classes)
    ):
        return None
    try:
        state = sibling.model(1)
    except PrunedError:
        return None
    context.checkpoints.metadata |= sibling.manifest(1).get("training", {})
    return generator.restore(state, context)


def _labels_to_ask(evaluator: Evaluator, classes: Tensor, seed: Seed) -> Tensor:
    """int16[samples] labels to ask the model for; `UNKNOWN` for an unconditional one."""
    study, real = evaluator.study, evaluator.real
    n = study.samples or len(real.train)
    if not study.generator.conditional:
        return torch.full((n,), UNKNOWN, dtype=torch.int16)
    training = class_shares(classes, len(real.classes))
    return study.labels.draw(training, real.shares, n, seed)


@contextmanager
def _marking_divergence(lineage: Lineage, g: int, checkpoints: CheckpointManager) -> Iterator[None]:
    """Marks the lineage as ended before generation g if its model or samples diverge."""
    try:
        yield
    except Diverged as error:
        checkpoints.delete()
        lineage.mark_diverged(g, str(error))
        _raise_if_diverged(lineage, g)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{lineage.path}: out of memory in generation {g}; use a smaller network or smaller "
            "images, or device=cpu"
        ) from None


def _raise_if_diverged(lineage: Lineage, generations: int) -> None:
    ended = lineage.diverged
    if ended and lineage.generations <= generations:
        raise Diverged(
            f"{lineage.path}: generation {ended['generation']} diverged: {ended['why']}; to train "
            f"it again remove {DIVERGED} there"
        )


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 3), now


def _summary(rows: Sequence[Mapping[str, Any]], real: Tensor) -> str:
    """The census of a generation in one line."""
    *classes, unrecognized = rows
    recognized = f"{1 - unrecognized['frequency']:.1%} recognized"
    if any(row["frequency"] is None for row in classes):
        return recognized
    detected = sum(row["low"] > 0 for row in classes)
    distance = sum(abs(row["frequency"] - p) for row, p in zip(classes, real.tolist(), strict=True))
    return (
        f"{recognized}, {detected} of {len(classes)} classes detected, "
        f"total variation to the real shares {distance / 2:.3f}"
    )
