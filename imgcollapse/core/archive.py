"""Every image of one lineage, addressed by generation and row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.core.images import Images, cat
from imgcollapse.core.protocols import Stock

RESERVE = -1
"""Generation number of the reserve: real images that no training set has used yet."""


@dataclass(frozen=True)
class TrainingSet:
    """Where each training image comes from.

    Attributes:
        generation: int16[M]; 0 is the real training set, `RESERVE` fresh real images, g >= 1 the
            samples of the g-th model.
        row: int32[M], the image's row there.
    """

    generation: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, generation: int, rows: Tensor) -> TrainingSet:
        """The given rows of one generation."""
        return cls(torch.full((len(rows),), generation, dtype=torch.int16), rows.to(torch.int32))

    def __add__(self, other: TrainingSet) -> TrainingSet:
        return TrainingSet(
            torch.cat([self.generation, other.generation]), torch.cat([self.row, other.row])
        )


class Archive:
    """The generations born so far, oldest first, and the reserve of fresh real images."""

    def __init__(self, real: Images, reserve: Stock) -> None:
        """
        Args:
            real: generation 0, the real training set.
            reserve: fresh real images; its rows are in no particular class order.
        """
        self.generations = [real]
        self.reserve = reserve

    def append(self, samples: Images) -> None:
        """Add the next generation."""
        self.generations.append(samples)

    def size(self, generation: int) -> int:
        """How many images a generation, or the `RESERVE`, holds."""
        return len(self.reserve.labels if generation == RESERVE else self.generations[generation])

    def labels(self, chosen: TrainingSet) -> Tensor:
        """Labels of a training set: int16[M]."""
        labels = torch.empty(len(chosen), dtype=torch.int16)
        for generation in chosen.generation.unique().tolist():
            here = chosen.generation == generation
            source = self.reserve if generation == RESERVE else self.generations[generation]
            labels[here] = source.labels[chosen.row[here].long()]
        return labels

    def gather(self, chosen: TrainingSet) -> Images:
        """The images of a training set, in its order."""
        order, parts = [], []
        for generation in chosen.generation.unique().tolist():
            here = (chosen.generation == generation).nonzero().flatten()
            rows = chosen.row[here].long()
            order.append(here)
            if generation == RESERVE:
                parts.append(Images(self.reserve.read(rows), self.reserve.labels[rows]))
            else:
                parts.append(self.generations[generation][rows])
        return cat(parts)[torch.cat(order).argsort()]
