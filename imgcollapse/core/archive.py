"""Every image of one lineage, addressed by generation and row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.core.images import Images, cat
from imgcollapse.core.pool import GAP, Kept
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
    """The generations born so far, oldest first, and the reserve of fresh real images.

    A regime takes positions in the pool; where nothing was filtered they are rows.
    """

    def __init__(self, real: Images, reserve: Stock) -> None:
        """
        Args:
            real: generation 0, the real training set.
            reserve: fresh real images; its rows are in no particular class order.
        """
        self.generations = [real]
        self.reserve = reserve
        self.pool: dict[int, Tensor] = {}

    def append(self, samples: Images) -> None:
        """Add the next generation."""
        self.generations.append(samples)

    def admit(self, generation: int, kept: Kept) -> None:
        """Let only what was kept of a generation into the pool, under its new labels."""
        images = self.generations[generation]
        labels, entered = images.labels.clone(), kept.rows != GAP
        labels[kept.rows[entered].long()] = kept.labels[entered]
        self.generations[generation] = Images(images.pixels, labels)
        self.pool[generation] = kept.rows

    def let_in(self, generation: int, rows: Tensor) -> None:
        """The same for int32[M] rows, gaps among them, under the labels they have."""
        labels = self.generations[generation].labels
        self.admit(generation, Kept(rows, labels[rows.long().clamp(min=0)]))

    def size(self, generation: int) -> int:
        """How many positions a generation, or the `RESERVE`, has in the pool."""
        if generation == RESERVE:
            return len(self.reserve.labels)
        return len(self.pool.get(generation, self.generations[generation].labels))

    def rows(self, places: TrainingSet) -> TrainingSet:
        """The rows at positions of the pool; gaps are left out."""
        row = places.row.clone()
        for generation, pool in self.pool.items():
            here = places.generation == generation
            row[here] = pool[places.row[here].long()]
        there = row != GAP
        return TrainingSet(places.generation[there], row[there])

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
