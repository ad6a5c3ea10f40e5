"""How a study measures: what all its lineages are compared with, and by whom they are named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from imgcollapse import census, chance, distributed, metrics
from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.protocols import Likelihood, Model
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
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
        features: Mapping[str, Tensor] | None = None,
        chance: Mapping[str, Tensor] | None = None,
    ) -> None:
        """
        Args:
            study: its settings.
            real: its real images.
            oracle: names images.
            device: where networks run.
            watcher: told about progress.
            codebook: the words that images are written in; none leaves words out.
            features: the `features` of a laboratory of this study, or none.
            chance: its `chance`; found again where it does not fit.
        """
        self.study, self.real, self.oracle = study, real, oracle
        self.device, self.watcher = device, watcher
        self._last: tuple[Tensor, Answers] | None = None
        self.held_out = census.HeldOut(
            oracle.labels, oracle.held_out.counted, oracle.held_out.probabilities
        )
        self.features = features or {
            "reference": self.see(real.reference.pixels),
            "train": self.see(real.train.pixels),
        }
        self.real_side = metrics.RealSide(
            features=self.features["reference"],
            labels=real.reference.labels,
            spare=self.features["train"],
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
        if chance and self._is_of_this_study(chance):
            self.chance = dict(chance)

    @cached_property
    def chance(self) -> dict[str, Tensor]:
        """What chance alone would do in each generation, as float64 tensors.

        `drift_low` and `drift_high`, [G+1, K], are the 95% band of the class shares. By the name of
        a metric of words, [G, 3] from generation 1 on: mean, and the central 95%.
        """
        study, real = self.study, self.real
        labels = real.train.labels, real.reserve.labels
        low, high = map(torch.from_numpy, chance.null(study, *labels, study.generations).band())
        found = {"drift_low": low, "drift_high": high}
        if self.words:
            drawn = chance.images(study, *labels, study.generations)
            found |= self.words.by_chance(drawn, real.reserve, study.samples or len(real.train))
        return found

    @cached_property
    def expectations(self) -> list[census.Expectation]:
        """What each generation's class shares would be with no loss, and with chance alone."""
        study, real = self.study, self.real
        low, high = self.chance["drift_low"], self.chance["drift_high"]
        asked = study.labels.shares(real.shares, real.shares)
        without_loss = [real.shares] + [
            asked if study.generator.conditional else real.shares
        ] * study.generations
        return [
            census.Expectation(*(shares.tolist() for shares in (expected, low[g], high[g])))
            for g, expected in enumerate(without_loss)
        ]

    def see(self, pixels: Tensor) -> Tensor:
        """What the metrics see of uint8[N, C, H, W] images: float32[N, D]."""
        return self._features(pixels, self.name(pixels))

    def name(self, pixels: Tensor) -> Answers:
        """What the oracle says of uint8[N, C, H, W] images.

        The last answers are kept: what filters judge are the samples that have just been measured.
        """
        if self._last is None or not torch.equal(self._last[0], pixels):
            answers = distributed.answer(self.study.oracle, self.oracle, pixels, self.device)
            self._last = pixels, answers
        return self._last[1]

    def measure(
        self, g: int, samples: Images, expectation: census.Expectation | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """What the oracle names the samples, int16[N], the rows for both tables, and word counts.

        Args:
            g: their generation.
            samples: the images.
            expectation: of their class shares; none takes this study's for generation g.
        """
        classes, answers = self.real.classes, self.name(samples.pixels)
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
            written = self.words.codebook.write(samples.pixels)
            by_chance = {} if judged_alone or g == 0 else self._words_by_chance(g)
            findings["metrics"] += self.words.rows(g, written, by_chance)
            findings["words"] = self.words.counts(written)
        return counted, findings

    def foretold(self, g: int, model: Model) -> list[dict[str, Any]]:
        """How well generation g's model foretells real images, where it can say; metric rows."""
        if not isinstance(model, Likelihood):
            return []
        return [metrics.bits_per_dim(g, model.bits(self.real.reference), model.dimensions)]

    def _is_of_this_study(self, chance: Mapping[str, Tensor]) -> bool:
        """Whether it has as many generations: a run may have become longer."""
        generations, classes = self.study.generations, len(self.real.classes)
        of_words, of_classes = (generations, 3), (generations + 1, classes)
        return all(
            tensor.shape == (of_words if name.startswith("vocab_") else of_classes)
            for name, tensor in chance.items()
        )

    def _words_by_chance(self, g: int) -> dict[str, metrics.Value]:
        return {
            metric: metrics.Value(*of_generations[g - 1].tolist())
            for metric, of_generations in self.chance.items()
            if metric.startswith("vocab_")
        }

    def _features(self, pixels: Tensor, answers: Answers) -> Tensor:
        extractor = self.study.metrics.features
        return distributed.features(extractor, pixels, answers.features, self.device)
