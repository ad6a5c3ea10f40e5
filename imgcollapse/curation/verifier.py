"""Keep what passes for real, in the eyes of the oracle or of a scorer of one's own.

Feng et al. 2024, arXiv:2406.07515: an imperfect verifier that only chooses can keep a loop from
collapsing. It can also hasten it: what is rare often looks implausible, so read curation.csv.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.curation.scorer import Scorer, scores


class Verifier(Filter):
    """Keeps the most plausible share of the samples, or every sample that is plausible enough.

    Attributes:
        keep_share: the share of samples to keep, in their own order; none keeps each that is as
            plausible as `level` of real images.
        level: without `keep_share`, the share of held-out real images that would pass. A scorer has
            no real images to compare with and needs `keep_share`.
        by: "typicality", how much like any real image; "confidence", how sure the oracle is of the
            class; images it does not recognise come last in both.
        scorer: an import path `module:function` to ask instead of the oracle.
    """

    kind: Literal["verifier"] = "verifier"
    keep_share: Annotated[float, Field(gt=0, le=1)] | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    by: Literal["typicality", "confidence"] = "typicality"
    scorer: Scorer = None

    @model_validator(mode="after")
    def _knows_the_bar(self) -> Verifier:
        if self.keep_share is None and (self.scorer or self.by != "typicality"):
            raise ValueError(
                "keep_share is needed where a verifier goes by confidence or by a scorer; set the "
                "share of samples to keep, such as 0.5"
            )
        return self

    def keep_fraction(self) -> float:
        """The share to keep; without one nobody knows before."""
        return self.keep_share or 1.0

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """The best of them, or the good enough."""
        merit = self._merit(seen)
        if self.keep_share is not None:
            best = merit.argsort(descending=True, stable=True)[
                : int(len(seen) * self.keep_share + 1e-9)
            ]
            return seen.select(best.sort().values)
        bar = (-seen.held_out).quantile(1 - self.level)
        return seen.select((merit >= bar).nonzero().flatten())

    def _merit(self, seen: FilterInput) -> Tensor:
        if self.scorer:
            return torch.from_numpy(scores(self.scorer, seen.images.pixels))
        if self.by == "typicality":
            return -seen.atypicality
        sure = seen.probabilities.double().max(1).values
        return torch.where(seen.counted == UNKNOWN, sure - 1, sure)
