"""Replays a part of a lineage's last generation: a training step, and a batch of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imgcollapse.config.study import Study
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images, ImageSet
from imgcollapse.core.lineage_images import RESERVE, LineageImages
from imgcollapse.core.sanitize import first_line
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import mark
from imgcollapse.data.base import InMemoryImages
from imgcollapse.experiment.setup import environment, setup_device
from imgcollapse.generators.base import Model
from imgcollapse.io.checkpoints import FIRST_STEP, CheckpointManager, StopAfterFirstStep
from imgcollapse.runs.lineage_dir import MODEL, SAMPLES, TRAINING_SET, Lineage
from imgcollapse.runs.run_dir import Run
from imgcollapse.tools.verify.files import Check
from imgcollapse.training.context import RunContext

UNREPEATABLE = ("retried", "micro_batch", "sample_batch")
"""Facts in the manifest of a training that diverged or ran out of memory: a replay does not."""
MAX_SECONDS = 60.0
"""Duration of the longest training without a recorded step that is replayed as a whole."""


class NotReplayedError(Exception):
    """A step cannot be replayed here; the message says why."""


@dataclass
class LastGeneration:
    """The recorded inputs and outputs of a lineage's last generation."""

    run: Run
    study: Study
    device: Device
    lineage: Lineage

    def __post_init__(self) -> None:
        self.g = self.lineage.generations - 1
        self.where = self.lineage.folder(self.g)
        self.seed = Seed((self.study.seed, self.lineage.number, self.g))
        self.manifest = self.lineage.manifest(self.g)

    def model(self, g: int) -> Model:
        """Returns the g-th model from its file, or from its training set."""
        if self.study.generator.stores_training_set:
            return _fit(self)
        return self.study.generator.restore(self.lineage.model(g), self.context("fit"))

    def context(self, stage: str, checkpoints: CheckpointManager | None = None) -> RunContext:
        """Returns the context of the generation's training or sampling."""
        shape, classes = tuple(self.run.record["shape"]), len(self.run.record["classes"])
        context = RunContext(self.seed / stage, self.device, shape, classes)
        return replace(context, checkpoints=checkpoints) if checkpoints else context

    def require_files(self, *names: str) -> None:
        """Raises `NotReplayedError` if retention removed one of the generation's files."""
        if gone := [name for name in names if name in self.manifest.get("pruned", ())]:
            raise NotReplayedError(f"{gone[0]} was removed to save space")

    def training_images(self) -> Images:
        """Returns the images that the generation's model was trained on."""
        chosen, lineage = self.lineage.training_set(self.g), self.lineage
        fresh = bool((chosen.generation == RESERVE).any())
        images = LineageImages(lineage.samples(0), self._reserve(fresh))
        for g in range(self.g):
            if g > 0:
                images.append(lineage.samples(g))
            if (kept := lineage.selection(g)) is not None:
                images.restrict(g, kept)
        return images.gather(chosen)

    def _reserve(self, needed: bool) -> ImageSet:
        if not needed:
            shape = (0, *self.run.record["shape"])
            return InMemoryImages(torch.empty(shape, dtype=torch.uint8), torch.empty(0).short())
        try:
            real = self.study.real()
        except UserError as error:
            raise NotReplayedError(f"its fresh real images cannot be read: {error}") from None
        if real.digest != self.run.record["data"]["sha256"]:
            raise NotReplayedError("its fresh real images have changed")
        return real.reserve

    def reasons_to_differ(self) -> str:
        """Reasons why the bits may differ from the recorded ones; empty if they may not."""
        then, now = self.manifest["made_with"], environment(self.device, self.study)
        changed = [name for name in now if then.get(name) != now[name]]
        reasons = [f"{name} {then.get(name)} then and {now[name]} now" for name in changed]
        training = self.manifest.get("training", {})
        reasons += [f"{name} {training[name]}" for name in UNREPEATABLE if name in training]
        return ", ".join(reasons)


def check_replays(run: Run, intact: bool) -> Iterator[Check]:
    """Replays a batch of samples and a training step of each lineage, and compares bit for bit.

    Lineages that are not intact are not replayed; a study whose parts are not there is an error.
    """
    for name, replay in (("sampling", _sampling), ("training", _training)):
        check, done, study = Check(name, run.path), [], None
        with check.errors():
            study = run.study
        if not intact:
            check.notes.append(f"{run.path}: {name} was not replayed: fix the other errors first")
        for lineage in run.lineages if intact else []:
            if study is None or lineage.generations < 2:
                continue
            try:
                last = LastGeneration(run, study, setup_device(study), lineage)
                done.append(_compare(last, replay, check))
            except (NotReplayedError, UserError) as error:
                where = lineage.folder(lineage.generations - 1)
                check.notes.append(f"{where}: {name} was not replayed: {first_line(error)}")
        if found := [extent for extent in done if extent]:
            check.extent = found[0] + (f" in each of {len(found)} lineages" * (len(found) > 1))
        yield check


def _compare(
    last: LastGeneration, replay: Callable[[LastGeneration], tuple[str, bool]], check: Check
) -> str:
    """Replays a step and adds the result to a check; returns the extent of what is the same."""
    extent, same = replay(last)
    if same:
        return extent
    if reasons := last.reasons_to_differ():
        may = f"{last.where}: {extent} differ, as they may ({reasons}): this is no error"
        check.notes.append(may)
    else:
        check.wrong.append(
            f"{last.where}: {extent} differ on the recorded machine and software; "
            "remove this and all later generations to train them again"
        )
    return ""


def _sampling(last: LastGeneration) -> tuple[str, bool]:
    """Draws the first batch from the saved model; returns the extent, and whether it is equal."""
    last.require_files(SAMPLES, MODEL)
    generator, recorded = last.study.generator, last.lineage.samples(last.g)
    # A generator without a batch size is so fast that all samples are drawn.
    n = generator.images_at_once(len(recorded))
    first = recorded[torch.arange(n)]
    asked = first.labels if generator.conditional else torch.full((n,), UNKNOWN, dtype=torch.int16)
    drawn = last.model(last.g).sample(asked, last.context("sample"))
    drawn = mark(last.study.curation, drawn, last.seed / "mark")
    same = torch.equal(drawn.pixels, first.pixels) and torch.equal(drawn.labels, first.labels)
    return f"{n:,} replayed samples", same


def _training(last: LastGeneration) -> tuple[str, bool]:
    """Runs the first step, or a short training; returns the extent, and whether it is equal."""
    last.require_files(MODEL, TRAINING_SET)
    if last.study.generator.stores_training_set:
        return "", True  # its model is its training set, from which the samples are drawn again
    if step := last.manifest.get("training", {}).get(FIRST_STEP):
        try:
            _fit(last, StopAfterFirstStep())
        except StopAfterFirstStep.Taken as taken:
            return "the weights after a replayed first step", str(taken) == step
    seconds = last.manifest.get("seconds", {}).get("fit", 0.0)
    if seconds > MAX_SECONDS:
        raise NotReplayedError(f"it took {seconds:.0f} s and recorded no step")
    saved = last.lineage.model(last.g)
    return "the weights of a replayed training", _equal(_fit(last).state(), saved)


def _fit(last: LastGeneration, checkpoints: CheckpointManager | None = None) -> Model:
    generator, images, previous = last.study.generator, last.training_images(), None
    if generator.needs_previous and last.g > 1:
        previous = last.model(last.g - 1)
    return generator.fit(images, last.context("fit", checkpoints), previous)


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
