"""A detector of synthetic images that errs at given rates, for the theory and for "what if"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.curation.thinning import thin

Rate = Annotated[float, Field(ge=0, le=1)]


class Detector(Filter):
    """Knows where images come from, and errs by chance, whatever they show.

    What it does to drift has an exact law: `drift.detection_variance`.

    Attributes:
        tpr: chance that a sample is found.
        fpr: chance that a real image is taken for a sample; each is judged once.
        weight: of what is found: 0 removes it, 0.5 keeps about half, by lot.
    """

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    kind: Literal["detector"] = "detector"
    tpr: Rate = 0.99
    fpr: Rate = 0.01
    weight: Rate = 0.0

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """What is not found, and of the rest a share of `weight`, drawn one by one."""
        return seen.select(self.null_selection(seen.generation, len(seen), seed))

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """The same: it sees no content."""
        rate = self.fpr if generation == 0 else self.tpr
        found = torch.rand(n, generator=(seed / "found").torch()) < rate
        return thin(found, self.weight, seed)
