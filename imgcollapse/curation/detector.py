"""Filter: an idealized detector of synthetic images with given error rates."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput, thin

Rate = Annotated[float, Field(ge=0, le=1)]


class Detector(Filter):
    """Detects samples at a true-positive and a false-positive rate, independent of their content.

    Its effect on drift has a closed form: `theory.detection_variance`.

    Attributes:
        tpr: probability that a sample is detected.
        fpr: probability that a real image is detected; each is tested once.
        weight: probability that a detected image is kept all the same; 0 removes all of them.
    """

    filters_real: ClassVar[bool] = True
    leaves_gaps: ClassVar[bool] = True
    kind: Literal["detector"] = "detector"
    tpr: Rate = 0.99
    fpr: Rate = 0.01
    weight: Rate = 0.0

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep undetected images, and each detected one with probability `weight`."""
        return inputs.select(self.null_selection(inputs.generation, len(inputs), seed))

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """Return the same as `keep`, which does not depend on content."""
        rate = self.fpr if generation == 0 else self.tpr
        detected = torch.rand(n, generator=(seed / "found").torch()) < rate
        return thin(detected, self.weight, seed)
