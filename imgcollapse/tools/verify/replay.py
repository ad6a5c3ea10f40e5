"""The last generation of a lineage made again in part: a training, and a batch of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import ValidationError
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
from imgcollapse.tools.verify.result import Check
from imgcollapse.training.context import RunContext

UNLIKE = ("retried", "micro_batch", "sample_batch")
"""What the manifest says of a training that met trouble: a replay does not meet it again."""
CHEAP = 60.0
"""Seconds that a training without recorded steps may have taken to be done again as a whole."""


class NotReplayedError(Exception):
    """A thing cannot be made again here; says why."""


@dataclass(frozen=True)
class Bench:
    """What a lineage's last generation is made again from."""

    run: Run
    study: Study
    device: Device
    lineage: Lineage

    @property
    def g(self) -> int:
        """The generation."""
        return self.lineage.generations - 1

    @property
    def seed(self) -> Seed:
        """That of the generation."""
        return Seed((self.study.seed, self.lineage.number, self.g))

    @property
    def manifest(self) -> dict[str, Any]:
        """The generation's."""
        return self.lineage.manifest(self.g)

    def model(self, g: int) -> Model:
        """The g-th model as it was saved, or as its training set makes it."""
        if self.study.generator.stores_training_set:
            return _fit(self)
        return self.study.generator.restore(self.lineage.model(g), self.context("fit"))

    def context(self, stage: str, checkpoints: CheckpointManager | None = None) -> RunContext:
        """Returns the context of the generation's training or sampling."""
        shape, classes = tuple(self.run.record["shape"]), len(self.run.record["classes"])
        context = RunContext(self.seed / stage, self.device, shape, classes)
        return replace(context, checkpoints=checkpoints) if checkpoints else context

    def has(self, *names: str) -> None:
        """See that files of the generation were not removed by retention.

        Raises:
            NotReplayedError: one was.
        """
        if gone := [name for name in names if name in self.manifest.get("pruned", ())]:
            raise NotReplayedError(f"{gone[0]} was removed to save space")

    def training_images(self) -> Images:
        """What the generation's model was trained on.

        Raises:
            NotReplayedError: it takes images that are not in the run folder, nor where they were.
        """
        chosen, lineage = self.lineage.training_set(self.g), self.lineage
        fresh = bool((chosen.generation == RESERVE).any())
        archive = LineageImages(lineage.samples(0), self._reserve(fresh))
        for g in range(self.g):
            if g > 0:
                archive.append(lineage.samples(g))
            if (kept := lineage.selection(g)) is not None:
                archive.restrict(g, kept)
        return archive.gather(chosen)

    def _reserve(self, needed: bool) -> ImageSet:
        if not needed:
            shape = (0, *self.run.record["shape"])
            return InMemoryImages(torch.empty(shape, dtype=torch.uint8), torch.empty(0).short())
        try:
            real = self.study.real()
        except UserError as error:
            raise NotReplayedError(f"its fresh real images cannot be read: {error}") from None
        if real.digest != self.run.record["data"]["sha256"]:
            raise NotReplayedError("its fresh real images are no longer the same")
        return real.reserve

    def excuse(self) -> str:
        """Why bits may come out otherwise than they did, in words; empty if they may not."""
        then, now = self.manifest["made_with"], environment(self.device)
        said = [
            f"{name} {then.get(name)} then and {now[name]} now"
            for name in now
            if then.get(name) != now[name]
        ]
        training = self.manifest.get("training", {})
        return ", ".join(said + [f"{name} {training[name]}" for name in UNLIKE if name in training])


def check_replays(run: Run, sound: bool) -> Iterator[Check]:
    """Make a batch of samples and a training again, and compare bit for bit.

    Args:
        run: the run.
        sound: whether its lineages are; what cannot be is not replayed.
    """
    for name, replay in (("sampling", _sampling), ("training", _training)):
        check, done = Check(name, run.path), []
        if not sound:
            check.notes.append(f"{run.path}: {name} was not replayed: mend the rest first")
        for lineage in run.lineages if sound else []:
            if lineage.generations < 2:
                continue
            where = lineage.folder(lineage.generations - 1)
            try:
                study = Study.model_validate(run.record["study"])
                bench = Bench(run, study, setup_device(study), lineage)
                done.append(_put(bench, replay, check))
            except (NotReplayedError, UserError, ValidationError) as error:
                check.notes.append(f"{where}: {name} was not replayed: {first_line(error)}")
        if found := [extent for extent in done if extent]:
            check.extent = found[0] + (f" in each of {len(found)} lineages" * (len(found) > 1))
        yield check


def _put(bench: Bench, replay: Callable[[Bench], tuple[str, bool]], check: Check) -> str:
    """Replay, and note what came of it; returns what was found to be the same."""
    extent, same = replay(bench)
    if same:
        return extent
    where, excuse = bench.lineage.folder(bench.g), bench.excuse()
    if excuse:
        check.notes.append(
            f"{where}: {extent} came out otherwise, as they may ({excuse}): this says nothing of it"
        )
    else:
        check.blame(
            f"{where}: {extent} came out otherwise on the machine and software that it names; "
            "remove this and all later generations to train them again"
        )
    return ""


def _sampling(bench: Bench) -> tuple[str, bool]:
    """Draw the first batch again from the saved model; says what, and whether it is the same."""
    bench.has(SAMPLES, MODEL)
    generator, recorded = bench.study.generator, bench.lineage.samples(bench.g)
    # Without a batch of its own a generator draws so fast that all is drawn again.
    n = generator.images_at_once(len(recorded))
    first = recorded[torch.arange(n)]
    asked = first.labels if generator.conditional else torch.full((n,), UNKNOWN, dtype=torch.int16)
    drawn = bench.model(bench.g).sample(asked, bench.context("sample"))
    drawn = mark(bench.study.curation, drawn, bench.seed / "mark")
    same = torch.equal(drawn.pixels, first.pixels) and torch.equal(drawn.labels, first.labels)
    return f"{n:,} samples drawn again", same


def _training(bench: Bench) -> tuple[str, bool]:
    """Take the first step again, or all if that is quick; says what, and whether it is the same."""
    bench.has(MODEL, TRAINING_SET)
    if bench.study.generator.stores_training_set:
        return "", True  # its model is its training set, from which the samples are drawn again
    if step := bench.manifest.get("training", {}).get(FIRST_STEP):
        try:
            _fit(bench, StopAfterFirstStep())
        except StopAfterFirstStep.Taken as taken:
            return "the first step of a training", str(taken) == step
    seconds = bench.manifest.get("seconds", {}).get("fit", 0.0)
    if seconds > CHEAP:
        raise NotReplayedError(f"it took {seconds:.0f} s and recorded no step")
    saved = bench.lineage.model(bench.g)
    return "a model trained again", _alike(_fit(bench).state(), saved)


def _fit(bench: Bench, checkpoints: CheckpointManager | None = None) -> Model:
    generator, images, previous = bench.study.generator, bench.training_images(), None
    if generator.needs_previous and bench.g > 1:
        previous = bench.model(bench.g - 1)
    return generator.fit(images, bench.context("fit", checkpoints), previous)


def _alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
