"""Filters that judge image by image: by likeness to real ones, or at given error rates.

The verifier asks the oracle or a user's scorer.

Feng et al. 2024, arXiv:2406.07515: selection by an imperfect verifier can prevent collapse. It can
also speed it up: rare classes often look implausible, so read curation.csv.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput, Scorer, score, thin

Rate = Annotated[float, Field(ge=0, le=1)]


class Verifier(Filter):
    """Keeps the most plausible share of the samples, or every sample above a threshold."""

    kind: Literal["verifier"] = "verifier"
    keep_share: Annotated[float, Field(gt=0, le=1)] | None = None  # in the original order
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Without `keep_share`, the share of held-out real images above the threshold."""
    by: Literal["typicality", "confidence"] = "typicality"
    """Similarity to real images, or the oracle's largest class probability (unrecognized last)."""
    scorer: Scorer = None  # used instead of the oracle; needs `keep_share`

    @model_validator(mode="after")
    def _has_threshold(self) -> Verifier:
        if self.keep_share is None and (self.scorer or self.by != "typicality"):
            raise ValueError(
                "keep_share is needed with by=confidence or a scorer; set it, such as to 0.5"
            )
        return self

    def keep_fraction(self) -> float:
        """Return `keep_share`; without one the kept share depends on the images."""
        return self.keep_share or 1.0

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep the samples with the best scores, or with scores above the threshold."""
        scores = self._scores(inputs)
        if self.keep_share is not None:
            best = scores.argsort(descending=True, stable=True)
            return inputs.select(best[: int(len(inputs) * self.keep_share + 1e-9)].sort().values)
        threshold = (-inputs.held_out).quantile(1 - self.level)
        return inputs.select((scores >= threshold).nonzero().flatten())

    def _scores(self, inputs: FilterInput) -> Tensor:
        if self.scorer:
            return torch.from_numpy(score(self.scorer, inputs.images.pixels))
        if self.by == "typicality":
            return -inputs.atypicality
        confidence = inputs.probabilities.double().max(1).values
        return torch.where(inputs.counted == UNKNOWN, confidence - 1, confidence)


class Detector(Filter):
    """Detects samples at a true-positive and a false-positive rate, independent of their content.

    Its effect on drift has a closed form: `theory.detection_variance`.
    """

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    kind: Literal["detector"] = "detector"
    tpr: Rate = 0.99  # probability that a sample is detected
    fpr: Rate = 0.01  # probability that a real image is detected; each is tested once
    weight: Rate = 0.0  # probability that a detected image is kept all the same

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep undetected images, and each detected one with probability `weight`."""
        return inputs.select(self.null_selection(inputs.generation, len(inputs), seed))

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """Return the same as `keep`, which does not depend on content."""
        rate = self.fpr if generation == 0 else self.tpr
        detected = torch.rand(n, generator=(seed / "found").torch()) < rate
        return thin(detected, self.weight, seed)
