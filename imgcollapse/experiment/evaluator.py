"""The evaluator of a study: classifies images, counts classes and measures metrics."""

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
from imgcollapse.generators.base import Model
from imgcollapse.oracle import FrozenOracle, Predictions


class CachedFindings(NamedTuple):
    """Findings about a study's real images that were made before, to the same bits."""

    seen: Mapping[str, Tensor] | None = None  # `RealReference.state`, or none
    # `Evaluator.null_model`, or none; computed again where its generations differ
    chance: Mapping[str, Tensor] | None = None
    # Of metrics.csv, whose floors are taken over; read when the first is needed
    rows: Iterable[metrics.Row] = ()


class Evaluator:
    """Measures generations of all lineages of a study against its real images.

    Reference statistics are computed when they are first needed, and then kept.
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
        """Names images by `oracle`; leaves words out without a codebook."""
        self.study, self.real, self.oracle = study, real, oracle
        self.device, self.reporter, self.codebook = device, reporter, codebook
        self._known = known or CachedFindings()
        self._last: tuple[Tensor, Predictions] | None = None
        held_out = oracle.held_out
        self.held_out = census.HeldOut(oracle.labels, held_out.counted, held_out.probabilities)

    @property
    def features_from(self) -> str:
        """The identity of the feature extractor."""
        return self.study.metrics.features.identity(self.oracle.sha256())

    @cached_property
    def reference(self) -> metrics.RealReference:
        """Features and distances of the real images that generations are compared with."""
        study, real, known = self.study, self.real, self._known.seen
        sides = {"reference": real.reference, "train": real.train}
        seen = known or {name: self._features(side.pixels) for name, side in sides.items()}
        reference = metrics.RealReference(
            features=seen["reference"],
            labels=real.reference.labels,
            training_features=seen["train"],
            training_labels=real.train.labels,
            seed=Seed((study.seed, "floor")),
            settings=study.metrics,
            extractor=self.features_from,
            reference_pixels=real.reference.pixels,
            training_pixels=real.train.pixels,
            distances=seen.get("nearest"),
        )
        reference.load_cached(self._floors, real.classes)
        return reference

    @cached_property
    def words(self) -> metrics.WordReference | None:
        """The words of the real images; None where the study leaves words out."""
        if self.codebook is None:
            return None
        sides = self.real.train, self.real.reference
        base, held_out = (self.codebook.write(side.pixels) for side in sides)
        seed, splits = Seed((self.study.seed, "words")), self.study.metrics.splits
        words = metrics.WordReference(self.codebook, base, held_out, seed, splits)
        words.load_cached(self._floors)
        return words

    @cached_property
    def null_model(self) -> Mapping[str, Tensor]:
        """Bands of each generation under the null model, chance alone, as float64 tensors.

        `drift_low` and `drift_high`, [G+1, K], are the 95% band of the class shares. By the name of
        a metric, [G, 3] from generation 1 on: mean, and the central 95%. `measured`, float32
        [S, G+1, K], are replicates as the oracle sees them.
        """
        if (known := self._known.chance) and self._is_of_this_study(known):
            return known
        study, real = self.study, self.real
        labels = real.train.labels, real.reserve.labels
        band = null_model.simulate_labels(study, *labels, study.generations).band()
        low, high = map(torch.from_numpy, band)
        found = {"drift_low": low, "drift_high": high, "measured": self._measured_null(*labels)}
        if self.words:
            drawn = null_model.simulate_images(study, *labels, study.generations)
            found |= self.words.by_chance(drawn, real.reserve, study.samples or len(real.train))
        return found

    def _measured_null(self, train: Tensor, reserve: Tensor) -> Tensor:
        """The null model as this oracle sees it (`null_model.measure_images`)."""
        study, real = self.study, self.real
        if len(train) + len(reserve) > null_model.MOST_IMAGES:
            return torch.empty(0, study.generations + 1, len(real.classes))
        fresh = (
            [self.classify(real.reserve.read(torch.arange(len(reserve))))] if len(reserve) else []
        )
        # The training images last: those answers are kept, and generation 0 asks for them.
        seen = [self.classify(real.train.pixels), *fresh]
        probabilities = torch.cat([answers.probabilities for answers in seen])
        counted = torch.cat([answers.counted for answers in seen])
        return null_model.measure_images(
            study, (train, reserve), study.generations, probabilities, counted, self.held_out
        )

    @cached_property
    def expectations(self) -> list[census.Expectation]:
        """Class shares expected of each generation without loss, and their band by chance."""
        study, real = self.study, self.real
        low, high = self.null_model["drift_low"], self.null_model["drift_high"]
        asked = study.labels.shares(real.shares, real.shares)
        expected = asked if study.generator.conditional else real.shares
        without_loss = [real.shares] + [expected] * study.generations
        bands = zip(without_loss, low, high, strict=True)
        return [census.Expectation(*(part.tolist() for part in band)) for band in bands]

    def classify(self, pixels: Tensor) -> Predictions:
        """The oracle's predictions of uint8[N, C, H, W] images.

        The last ones are kept, for filters judge the samples that have just been measured.
        """
        if self._last is None or not torch.equal(self._last[0], pixels):
            answers = data_parallel.classify(self.study.oracle, self.oracle, pixels, self.device)
            self._last = pixels, answers
        return self._last[1]

    @cached_property
    def real_generation(self) -> tuple[Tensor, dict[str, Any]]:
        """The findings of `measure` about generation 0, which is the same in every lineage."""
        return self.measure(0, self.real.train, features=self.reference.training_features)

    def measure(
        self,
        g: int,
        samples: Images,
        expectation: census.Expectation | None = None,
        features: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Classes of generation g's samples, int16[N], and findings: census, metrics and words.

        The `expectation` of their class shares is this study's for generation g unless given;
        `features`, float32[N, D], are computed unless given.
        """
        classes, pixels, answers = self.real.classes, samples.pixels, self.classify(samples.pixels)
        counted, shares = answers.counted, expectation or self.expectations[g]
        features = self._features(pixels) if features is None else features
        given = counted, answers.probabilities, samples.labels, classes, shares, self.held_out
        findings: dict[str, Any] = {
            "census": census.count(g, *given),
            "metrics": list(self.reference.rows(g, features, pixels, counted, classes)),
        }
        if self.words:
            written = self.words.codebook.write(pixels)
            chance = self._chance(g) if g and expectation is None else {}
            findings["metrics"] += self.words.rows(g, written, chance)
            findings["words"] = self.words.counts(written)
        return counted, findings

    def likelihood_metrics(self, g: int, model: Model) -> list[metrics.Row]:
        """Metric rows about the likelihood of held-out real images under generation g's model."""
        likelihood = self.study.generator.likelihood(model, self.real.reference)
        return metrics.likelihood_rows(g, *likelihood, self.study.metrics) if likelihood else []

    @cached_property
    def _floors(self) -> list[metrics.Row]:
        return list(self._known.rows)

    def _is_of_this_study(self, found: Mapping[str, Tensor]) -> bool:
        """Whether a null model has the generations of the study, which may have become longer."""
        generations, classes = self.study.generations, len(self.real.classes)
        images = len(self.real.train) + len(self.real.reserve.labels)
        has_words = self.codebook is not None and images <= null_model.MOST_IMAGES
        of_metrics = found.keys() & self._with_chance
        complete = "measured" in found and has_words == bool(of_metrics)
        return complete and all(
            tensor.shape[-2:]
            == ((generations, 3) if name in of_metrics else (generations + 1, classes))
            for name, tensor in found.items()
        )

    @cached_property
    def _with_chance(self) -> set[str]:
        """Names of the metrics that the null model gives a band of."""
        return {info.name for info in metrics.metric_infos(self.study.metrics) if info.has_chance}

    def _chance(self, g: int) -> dict[str, metrics.Estimate]:
        bands, names = self.null_model, self.null_model.keys() & self._with_chance
        return {name: metrics.Estimate(*bands[name][g - 1].tolist()) for name in names}

    def _features(self, pixels: Tensor) -> Tensor:
        """float32[N, D] features of uint8[N, C, H, W] images, by the study's extractor."""
        extractor, seen = self.study.metrics.features, self.classify(pixels).features
        return data_parallel.features(extractor, pixels, seen, self.device)
