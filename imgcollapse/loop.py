"""One lineage, top to bottom: curate, select, fit, sample, name, measure, commit, and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from imgcollapse import census, chance, curation, metrics
from imgcollapse.core.archive import Archive, TrainingSet
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.grid import sample_grid
from imgcollapse.core.images import UNKNOWN, Images, shares
from imgcollapse.core.pool import Candidates, Kept
from imgcollapse.core.protocols import Model
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
from imgcollapse.lineage import Lineage
from imgcollapse.oracle import Answers, FrozenOracle
from imgcollapse.progress import Watcher
from imgcollapse.study import Study


class Laboratory:
    """What all lineages of a study share: its settings, its real images, and how it measures."""

    def __init__(
        self,
        study: Study,
        real: RealData,
        oracle: FrozenOracle,
        device: Device,
        watcher: Watcher,
        codebook: metrics.Codebook | None = None,
    ) -> None:
        self.study, self.real, self.oracle = study, real, oracle
        self.device, self.watcher = device, watcher
        self.held_out = census.HeldOut(
            oracle.labels, oracle.held_out.counted, oracle.held_out.probabilities
        )
        self.real_side = metrics.RealSide(
            features=self.features(real.reference.pixels),
            labels=real.reference.labels,
            spare=self.features(real.train.pixels),
            spare_labels=real.train.labels,
            seed=Seed((study.seed, "floor")),
            settings=study.metrics,
            extractor=study.metrics.features.identity(oracle.digest()),
            reference_pixels=real.reference.pixels,
            training_pixels=real.train.pixels,
        )
        self.words = None
        if codebook:
            base, held_out = (codebook.write(x.pixels) for x in (real.train, real.reference))
            seed, splits = Seed((study.seed, "words")), study.metrics.splits
            self.words = metrics.RealWords(codebook, base, held_out, seed, splits)

    @cached_property
    def expectations(self) -> list[census.Expectation]:
        """What each generation's class shares would be with no loss, and with chance alone."""
        study, real = self.study, self.real
        null = chance.null(study, real.train.labels, real.reserve.labels, study.generations)
        low, high = null.band()
        asked = study.labels.shares(real.shares, real.shares)
        without_loss = [real.shares] + [
            asked if study.generator.conditional else real.shares
        ] * study.generations
        return [
            census.Expectation(*(shares.tolist() for shares in (expected, low[g], high[g])))
            for g, expected in enumerate(without_loss)
        ]

    @cached_property
    def words_by_chance(self) -> list[dict[str, metrics.Value]]:
        """What chance alone would make of the words of each generation; empty if unknown."""
        study, real = self.study, self.real
        if not self.words:
            return []
        drawn = chance.images(study, real.train.labels, real.reserve.labels, study.generations)
        return self.words.by_chance(drawn, real.reserve, study.samples or len(real.train))

    def live(self, lineage: Lineage, sibling: Lineage | None = None) -> None:
        """Let one lineage live from where it stands to the study's last generation.

        Args:
            lineage: its folder; nobody else may work in it meanwhile.
            sibling: the same lineage of a study that differs in nothing the first model learns
                from; that model is taken over where the training set is the same, for the same
                bits as training it again.

        Raises:
            UserError: nothing is left to train on, or a filter cannot judge.
        """
        study, real = self.study, self.real
        archive = Archive(real.train, real.reserve)
        for g in lineage.resume():
            archive.append(lineage.samples(g))
            if study.curation:
                archive.admit(g - 1, lineage.kept(g - 1))
        if lineage.generations == 0:
            counted, findings = self.measure(0, real.train)
            lineage.commit(0, real.train, counted, sample_grid(real.train), findings)
        for g in range(lineage.generations, study.generations + 1):
            self.watcher.at(lineage.number, g, study)
            seed, clock = Seed((study.seed, lineage.number, g)), _Clock()
            kept, choice = self.curate(lineage, archive, g - 1, seed / "curate")
            clock.lap("curate")
            training_set = study.regime.select(archive, g, seed / "select")
            if not len(training_set):
                raise UserError(f"{lineage.folder(g - 1)}: curation left nothing to train on")
            model = self.inherited(sibling, training_set) if g == 1 else None
            model = model or self.fit(lineage, g, archive.gather(training_set), seed / "fit")
            clock.lap("fit")
            labels = self.asked(archive, training_set, seed / "labels")
            drawn = model.sample(labels, seed / "sample", self.watcher)
            samples = self.marked(drawn, seed / "mark")
            clock.lap("sample")
            counted, findings = self.measure(g, samples)
            findings["metrics"] += self.remarks(g, drawn, samples, seed / "remarks")
            clock.lap("measure")
            findings |= {**choice, "seconds": clock.laps}
            grid = sample_grid(samples)
            lineage.commit(g, samples, counted, grid, findings, training_set, model.state(), kept)
            archive.append(lineage.samples(g))
            place = f"lineage {lineage.number}, " if study.lineages > 1 else ""
            self.watcher.say(f"{place}generation {g}: {_summary(findings['census'], real.shares)}")

    def curate(
        self, lineage: Lineage, archive: Archive, g: int, seed: Seed
    ) -> tuple[Kept | None, dict[str, Any]]:
        """Let of generation g into the pool what the filters keep; say what it was, and by what.

        Waits for what a filter waits for, such as a person's picks.
        """
        if not self.study.curation:
            return None, {}
        for judge in self.study.curation:
            _wait(partial(judge.waits, g, lineage.path), self.watcher)
        images, classes = lineage.samples(g), self.real.classes
        answers = self.oracle.answer(images.pixels)
        seen = Candidates(
            g,
            torch.arange(len(images), dtype=torch.int32),
            classes,
            images,
            answers.counted,
            answers.probabilities,
            answers.features,
            answers.atypicality,
            self.oracle.held_out.atypicality,
            lineage.path,
        )
        evidence = self.evidence(lineage, g)
        kept = curation.curate(self.study.curation, seen, seed)
        while evidence != (now := self.evidence(lineage, g)):  # people may go on while it is read
            evidence, kept = now, curation.curate(self.study.curation, seen, seed)
        archive.admit(g, kept)
        return kept, {
            "curation": curation.account(g, kept, answers.counted, images.labels, classes),
            "evidence": evidence,
        }

    def evidence(self, lineage: Lineage, g: int) -> dict[str, str]:
        """Files in the lineage's folder that the filters' choice rests on, and their sha256."""
        return {
            name: digest
            for judge in self.study.curation
            for name, digest in judge.rests_on(g, lineage.path).items()
        }

    def marked(self, drawn: Images, seed: Seed) -> Images:
        """The model's output as it leaves the house: marked, where a filter marks."""
        for place, judge in enumerate(self.study.curation):
            drawn = judge.mark(drawn, seed / place)
        return drawn

    def remarks(self, g: int, drawn: Images, samples: Images, seed: Seed) -> list[dict[str, Any]]:
        """What the filters say of a generation beside their choice, as metric rows."""
        return [
            metrics.row(g, name, value, n)
            for place, judge in enumerate(self.study.curation)
            for name, value, n in judge.findings(drawn, samples, self.real.reference, seed / place)
        ]

    def fit(self, lineage: Lineage, g: int, images: Images, seed: Seed) -> Model:
        """Train the g-th model, from the previous one where the study says so."""
        generator, classes = self.study.generator, len(self.real.classes)
        previous = None
        if generator.warm_start and g > 1:
            state = lineage.model(g - 1)
            previous = generator.restore(state, images.shape, classes, self.device)
        return generator.fit(images, classes, seed, self.device, self.watcher, previous)

    def inherited(self, sibling: Lineage | None, training_set: TrainingSet) -> Model | None:
        """The sibling's first model, if it has one that was trained on the same images."""
        if sibling is None or sibling.generations < 2:
            return None
        theirs = sibling.training_set(1)
        if not (
            torch.equal(theirs.generation, training_set.generation)
            and torch.equal(theirs.row, training_set.row)
        ):
            return None
        shape, classes = self.real.train.shape, len(self.real.classes)
        return self.study.generator.restore(sibling.model(1), shape, classes, self.device)

    def asked(self, archive: Archive, training_set: TrainingSet, seed: Seed) -> Tensor:
        """int16[samples] labels to ask for; `UNKNOWN` of an unconditional model."""
        n = self.study.samples or archive.size(0)
        if not self.study.generator.conditional:
            return torch.full((n,), UNKNOWN, dtype=torch.int16)
        training = shares(archive.labels(training_set), len(self.real.classes))
        return self.study.labels.draw(training, self.real.shares, n, seed)

    def features(self, pixels: Tensor) -> Tensor:
        """What the metrics see of uint8[N, C, H, W] images: float32[N, D]."""
        return self._features(pixels, self.oracle.answer(pixels))

    def measure(
        self, g: int, samples: Images, expectation: census.Expectation | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """What the oracle names the samples, int16[N], the rows for both tables, and word counts.

        Args:
            g: their generation.
            samples: the images.
            expectation: of their class shares; none takes this study's for generation g.
        """
        classes, answers = self.real.classes, self.oracle.answer(samples.pixels)
        counted, features = answers.counted, self._features(samples.pixels, answers)
        judged_alone, expectation = bool(expectation), expectation or self.expectations[g]
        findings: dict[str, Any] = {
            "census": census.count(
                g,
                counted,
                answers.probabilities,
                samples.labels,
                classes,
                expectation,
                self.held_out,
            ),
            "metrics": list(self.real_side.rows(g, features, samples.pixels, counted, classes)),
        }
        if self.words:
            by_chance = [] if judged_alone else self.words_by_chance
            written = self.words.codebook.write(samples.pixels)
            findings["metrics"] += self.words.rows(g, written, by_chance[g] if by_chance else None)
            findings["words"] = self.words.counts(written)
        return counted, findings

    def _features(self, pixels: Tensor, answers: Answers) -> Tensor:
        extractor = self.study.metrics.features
        return extractor.features(pixels, answers.features, self.device)


def _wait(reason: Callable[[], str | None], watcher: Watcher) -> None:
    """Look once a second whether there is still something to wait for, and say what."""
    said = None
    while line := reason():
        if line != said:
            watcher.say(line)
        said = line
        time.sleep(1)


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
