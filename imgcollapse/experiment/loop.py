"""One lineage, top to bottom: curate, select, fit, sample, name, measure, commit, and again."""

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
from imgcollapse.core.grid import sample_grid
from imgcollapse.core.images import UNKNOWN, Images, shares
from imgcollapse.core.lineage_images import Archive, TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.experiment import data_parallel
from imgcollapse.experiment.curation_stage import Gate
from imgcollapse.experiment.evaluator import Laboratory
from imgcollapse.generators.base import Model
from imgcollapse.io import schemas
from imgcollapse.io.checkpoints import Scratch
from imgcollapse.io.training_tensors import digest
from imgcollapse.runs.lineage_dir import DIVERGED, Lineage, PrunedError
from imgcollapse.runs.retention import newly_old, prune


def live(laboratory: Laboratory, lineage: Lineage, sibling: Lineage | None = None) -> None:
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
    study, real, watcher = laboratory.study, laboratory.real, laboratory.watcher
    gate = Gate(laboratory, lineage)
    archive = gate.reopen(Archive(real.train, real.reserve))
    _refuse_diverged(lineage, study.generations)
    prune(lineage, study.retention)
    if lineage.generations == 0:
        counted, findings = laboratory.real_generation
        lineage.commit(0, real.train, counted, sample_grid(real.train), findings)
    for g in range(lineage.generations, study.generations + 1):
        signals.heed()
        watcher.at(lineage.number, g, study)
        seed, clock = Seed((study.seed, lineage.number, g)), _Clock()
        kept, choice = gate.admit(archive, g - 1, seed / "curate")
        clock.lap("curate")
        training_set = study.regime.select(archive, g, seed / "select")
        if not len(training_set):
            raise UserError(f"{lineage.folder(g - 1)}: curation left nothing to train on")
        if len(training_set) > schemas.MOST:
            raise UserError(
                f"{lineage.path}: generation {g} would train on {len(training_set):,} images, and "
                f"{schemas.MOST:,} is the most; use regime accumulate-subsample"
            )
        images = archive.gather(training_set)
        scratch = _scratch(laboratory, lineage, g, archive, training_set)
        with _saved_or_ended(lineage, g, scratch):
            model = _inherited(laboratory, archive, training_set, scratch, sibling, g)
            model = model or _fit(laboratory, lineage, g, images, seed / "fit", scratch)
            clock.lap("fit")
            labels = _asked(laboratory, archive, training_set, seed / "labels")
            drawn = _sample(laboratory, model, labels, seed / "sample", scratch)
        samples = gate.marked(drawn, seed / "mark")
        clock.lap("sample")
        watcher("measure", 0, 1, 0)
        counted, findings = laboratory.measure(g, samples)
        findings["metrics"] += gate.remarks(g, drawn, samples, seed / "remarks")
        findings["metrics"] += laboratory.foretold(g, model)
        clock.lap("measure")
        remark = metrics.degenerate(drawn.pixels, archive.generations[-1].pixels)
        findings |= {**choice, "training": scratch.facts, "remarks": [remark] if remark else []}
        findings["seconds"] = clock.laps
        grid = sample_grid(samples)
        learned = None if study.generator.by_heart else model.state()
        watcher("commit", 0, 1, 0)
        lineage.commit(g, samples, counted, grid, findings, training_set, learned, kept)
        scratch.drop()
        prune(lineage, study.retention, newly_old(study.retention, g))
        archive.append(lineage.samples(g))
        place = f"lineage {lineage.number}, " if study.lineages > 1 else ""
        for line in (_summary(findings["census"], real.shares), *findings["remarks"]):
            watcher.say(f"{place}generation {g}: {line}")


def _fit(
    laboratory: Laboratory, lineage: Lineage, g: int, images: Images, seed: Seed, scratch: Scratch
) -> Model:
    """Train the g-th model, with what the generator needs of the previous one."""
    generator, classes = laboratory.study.generator, len(laboratory.real.classes)
    device, previous = laboratory.device, None
    if generator.needs_previous and g > 1:
        previous = generator.restore(lineage.model(g - 1), images.shape, classes, device)
    watcher = laboratory.watcher
    return data_parallel.fit(generator, images, classes, seed, device, watcher, previous, scratch)


def _sample(
    laboratory: Laboratory, model: Model, labels: Tensor, seed: Seed, scratch: Scratch
) -> Images:
    """Draw from a model."""
    real, device, watcher = laboratory.real, laboratory.device, laboratory.watcher
    generator, shape = laboratory.study.generator, real.train.shape
    return data_parallel.sample(
        generator, model, shape, len(real.classes), labels, seed, device, watcher, scratch
    )


def _scratch(
    laboratory: Laboratory, lineage: Lineage, g: int, archive: Archive, training_set: TrainingSet
) -> Scratch:
    """Where the work on the g-th model is kept until it is committed, and what it rests on."""
    study = laboratory.study
    belongs = {
        "seed": [study.seed, lineage.number, g],
        "generator": study.generator.model_dump(mode="json"),
        "training_set": digest({**vars(training_set), "labels": archive.labels(training_set)}),
        "after": lineage.manifest(g - 1)["files"],
    }
    return Scratch(lineage.work(g), study.checkpoint_seconds, belongs, laboratory.watcher.say)


@contextmanager
def _saved_or_ended(lineage: Lineage, g: int, scratch: Scratch) -> Iterator[None]:
    """Where the g-th model or its samples are no numbers, the lineage ends before it."""
    try:
        yield
    except Diverged as lost:
        scratch.drop()
        lineage.end_diverged(g, str(lost))
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
    laboratory: Laboratory,
    archive: Archive,
    training_set: TrainingSet,
    scratch: Scratch,
    sibling: Lineage | None,
    g: int,
) -> Model | None:
    """The sibling's first model, if it has one that was trained on the same images and labels."""
    if g > 1 or laboratory.study.generator.by_heart or sibling is None or sibling.generations < 2:
        return None
    real, theirs = laboratory.real, sibling.training_set(1)
    pool = Archive(real.train, real.reserve)
    if (kept := sibling.kept(0)) is not None:
        pool.admit(0, kept)
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
    scratch.facts |= sibling.manifest(1).get("training", {})
    generator, classes = laboratory.study.generator, len(real.classes)
    return generator.restore(state, real.train.shape, classes, laboratory.device)


def _asked(
    laboratory: Laboratory, archive: Archive, training_set: TrainingSet, seed: Seed
) -> Tensor:
    """int16[samples] labels to ask for; `UNKNOWN` of an unconditional model."""
    study, real = laboratory.study, laboratory.real
    n = study.samples or len(real.train)
    if not study.generator.conditional:
        return torch.full((n,), UNKNOWN, dtype=torch.int16)
    training = shares(archive.labels(training_set), len(real.classes))
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
