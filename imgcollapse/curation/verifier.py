"""Filter: keeps the samples that look most like real images to the oracle or a user's scorer.

Feng et al. 2024, arXiv:2406.07515: selection by an imperfect verifier can prevent collapse. It can
also speed it up: rare classes often look implausible, so read curation.csv.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput, Scorer, score


class Verifier(Filter):
    """Keeps the most plausible share of the samples, or every sample above a threshold.

    Attributes:
        keep_share: share of samples to keep, in their original order; None keeps those above the
            threshold given by `level`.
        level: without `keep_share`, the share of held-out real images above the threshold. A scorer
            has no real images to compare with and needs `keep_share`.
        by: "typicality", similarity to real images; "confidence", the oracle's largest class
            probability; unrecognized images come last in both.
        scorer: import path `module:function` of a score to use instead of the oracle.
    """

    kind: Literal["verifier"] = "verifier"
    keep_share: Annotated[float, Field(gt=0, le=1)] | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    by: Literal["typicality", "confidence"] = "typicality"
    scorer: Scorer = None

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
            best = scores.argsort(descending=True, stable=True)[
                : int(len(inputs) * self.keep_share + 1e-9)
            ]
            return inputs.select(best.sort().values)
        threshold = (-inputs.held_out).quantile(1 - self.level)
        return inputs.select((scores >= threshold).nonzero().flatten())

    def _scores(self, inputs: FilterInput) -> Tensor:
        if self.scorer:
            return torch.from_numpy(score(self.scorer, inputs.images.pixels))
        if self.by == "typicality":
            return -inputs.atypicality
        confidence = inputs.probabilities.double().max(1).values
        return torch.where(inputs.counted == UNKNOWN, confidence - 1, confidence)
