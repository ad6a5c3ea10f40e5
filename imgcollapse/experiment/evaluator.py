"""How a study measures: what all its lineages are compared with, and by whom they are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imgcollapse import census, metrics
from imgcollapse.config.study import Study
from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
from imgcollapse.experiment import data_parallel, null_model
from imgcollapse.generators.base import Likelihood, Model
from imgcollapse.oracle import FrozenOracle, Predictions

_WORDS = "vocab_"
"""How the names of metrics of words begin."""


class CachedFindings(NamedTuple):
    """What was found about a study's real images before, to the same bits.

    Attributes:
        seen: `RealSide.state`, or none.
        chance: `Laboratory.chance`, or none; found again where it is of fewer or more generations.
        rows: of metrics.csv, whose floors are taken over; read when the first is needed.
    """

    seen: Mapping[str, Tensor] | None = None
    chance: Mapping[str, Tensor] | None = None
    rows: Iterable[Mapping[str, Any]] = ()


class Evaluator:
    """What all lineages of a study share: its settings, its real images, and how it measures.

    Nothing is found before it is needed.
    """

    def __init__(
        self,
        study: Study,
        real: RealData,
        oracle: FrozenOracle,
        device: Device,
        reporter: ProgressReporter,
        codebook: metrics.Codebook | None = None,
        known: CachedFindings | None = None,
    ) -> None:
        """
        Args:
            study: its settings.
            real: its real images.
            oracle: names images.
            device: where networks run.
            watcher: told about progress.
            codebook: the words that images are written in; none leaves words out.
            known: is not found again.
        """
        self.study, self.real, self.oracle = study, real, oracle
        self.device, self.reporter, self.codebook = device, reporter, codebook
        self._known = known or CachedFindings()
        self._last: tuple[Tensor, Predictions] | None = None
        self.held_out = census.HeldOut(
            oracle.labels, oracle.held_out.counted, oracle.held_out.probabilities
        )

    @property
    def features_from(self) -> str:
        """What the metrics look through: the identity of the extractor."""
        return self.study.metrics.features.identity(self.oracle.sha256())

    @cached_property
    def reference(self) -> metrics.RealReference:
        """What generations are compared with."""
        study, real, known = self.study, self.real, self._known.seen
        seen = known or {
            "reference": self._see(real.reference.pixels),
            "train": self._see(real.train.pixels),
        }
        side = metrics.RealReference(
            features=seen["reference"],
            labels=real.reference.labels,
            spare=seen["train"],
            spare_labels=real.train.labels,
            seed=Seed((study.seed, "floor")),
            settings=study.metrics,
            extractor=self.features_from,
            reference_pixels=real.reference.pixels,
            training_pixels=real.train.pixels,
            distances=seen.get("nearest"),
        )
        side.load_cached(self._floors, real.classes)
        return side

    @cached_property
    def words(self) -> metrics.WordReference | None:
        """What the words of generations are compared with; None where there are none."""
        if self.codebook is None:
            return None
        base, held_out = (
            self.codebook.write(x.pixels) for x in (self.real.train, self.real.reference)
        )
        seed, splits = Seed((self.study.seed, "words")), self.study.metrics.splits
        words = metrics.WordReference(self.codebook, base, held_out, seed, splits)
        words.load_cached(self._floors)
        return words

    @cached_property
    def null_model(self) -> Mapping[str, Tensor]:
        """What chance alone would do in each generation, as float64 tensors.

        `drift_low` and `drift_high`, [G+1, K], are the 95% band of the class shares. By the name of
        a metric of words, [G, 3] from generation 1 on: mean, and the central 95%.
        """
        if (known := self._known.chance) and self._is_of_this_study(known):
            return known
        study, real = self.study, self.real
        labels = real.train.labels, real.reserve.labels
        low, high = map(
            torch.from_numpy, null_model.simulate_labels(study, *labels, study.generations).band()
        )
        found = {"drift_low": low, "drift_high": high}
        if self.words:
            drawn = null_model.simulate_images(study, *labels, study.generations)
            found |= self.words.by_chance(drawn, real.reserve, study.samples or len(real.train))
        return found

    @cached_property
    def expectations(self) -> list[census.Expectation]:
        """What each generation's class shares would be with no loss, and with chance alone."""
        study, real = self.study, self.real
        low, high = self.null_model["drift_low"], self.null_model["drift_high"]
        asked = study.labels.shares(real.shares, real.shares)
        without_loss = [real.shares] + [
            asked if study.generator.conditional else real.shares
        ] * study.generations
        return [
            census.Expectation(*(shares.tolist() for shares in (expected, low[g], high[g])))
            for g, expected in enumerate(without_loss)
        ]

    def classify(self, pixels: Tensor) -> Predictions:
        """What the oracle says of uint8[N, C, H, W] images.

        The last answers are kept: what filters judge are the samples that have just been measured.
        """
        if self._last is None or not torch.equal(self._last[0], pixels):
            answers = data_parallel.classify(self.study.oracle, self.oracle, pixels, self.device)
            self._last = pixels, answers
        return self._last[1]

    @cached_property
    def real_generation(self) -> tuple[Tensor, dict[str, Any]]:
        """What `measure` says of generation 0, which is the same in every lineage."""
        return self._measure(0, self.real.train, self.reference.spare)

    def measure(
        self, g: int, samples: Images, expectation: census.Expectation | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """What the oracle names the samples, int16[N], the rows for both tables, and word counts.

        Args:
            g: their generation.
            samples: the images.
            expectation: of their class shares; none takes this study's for generation g.
        """
        return self._measure(g, samples, None, expectation)

    def _measure(
        self,
        g: int,
        samples: Images,
        features: Tensor | None = None,
        expectation: census.Expectation | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        classes, answers = self.real.classes, self.classify(samples.pixels)
        counted = answers.counted
        if features is None:
            features = self._features(samples.pixels, answers)
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
            "metrics": list(self.reference.rows(g, features, samples.pixels, counted, classes)),
        }
        if self.words:
            written = self.words.codebook.write(samples.pixels)
            by_chance = {} if judged_alone or g == 0 else self._words_by_chance(g)
            findings["metrics"] += self.words.rows(g, written, by_chance)
            findings["words"] = self.words.counts(written)
        return counted, findings

    def likelihood_metrics(self, g: int, model: Model) -> list[dict[str, Any]]:
        """How well generation g's model foretells real images, where it can say; metric rows."""
        if not isinstance(model, Likelihood):
            return []
        return [metrics.bits_per_dim(g, model.bits_per_dim(self.real.reference), model.dimensions)]

    @cached_property
    def _floors(self) -> list[Mapping[str, Any]]:
        return [row for row in self._known.rows if row["metric"].endswith("_floor")]

    def _is_of_this_study(self, found: Mapping[str, Tensor]) -> bool:
        """Whether it is of as many generations, for a run may become longer, and of words."""
        generations, classes = self.study.generations, len(self.real.classes)
        of_words, of_classes = (generations, 3), (generations + 1, classes)
        images = len(self.real.train) + len(self.real.reserve.labels)
        has_words = self.codebook is not None and images <= null_model.MOST_IMAGES
        return has_words == any(name.startswith(_WORDS) for name in found) and all(
            tensor.shape == (of_words if name.startswith(_WORDS) else of_classes)
            for name, tensor in found.items()
        )

    def _words_by_chance(self, g: int) -> dict[str, metrics.Estimate]:
        return {
            metric: metrics.Estimate(*of_generations[g - 1].tolist())
            for metric, of_generations in self.null_model.items()
            if metric.startswith(_WORDS)
        }

    def _see(self, pixels: Tensor) -> Tensor:
        """What the metrics see of uint8[N, C, H, W] images: float32[N, D]."""
        return self._features(pixels, self.classify(pixels))

    def _features(self, pixels: Tensor, answers: Predictions) -> Tensor:
        extractor = self.study.metrics.features
        return data_parallel.features(extractor, pixels, answers.features, self.device)
