"""Every image of one lineage, addressed by generation and row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import torch
from torch import Tensor

from imgcollapse.core.images import GatheredImages, Images, ImageSet
from imgcollapse.core.seeds import Seed

RESERVE = -1
"""Generation number of the reserve: real images that no training set has used yet."""
REMOVED = -1
"""Row number of an image that a screen took out of the pool."""


@dataclass(frozen=True)
class TrainingSet:
    """The source of each training image, as generation and row number."""

    generation: Tensor  # int16[M]; 0 is real, g >= 1 the g-th model's, `RESERVE` fresh real images
    row: Tensor  # int32[M], the image's row there

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, places: Tensor | slice) -> TrainingSet:
        """Those at positions of the training set."""
        return TrainingSet(self.generation[places], self.row[places])

    @classmethod
    def from_generation(cls, generation: int, rows: Tensor) -> TrainingSet:
        """The given rows of one generation."""
        return cls(torch.full((len(rows),), generation, dtype=torch.int16), rows.to(torch.int32))

    @classmethod
    def cat(cls, *parts: TrainingSet) -> TrainingSet:
        """Several training sets end to end."""
        return cls(torch.cat([p.generation for p in parts]), torch.cat([p.row for p in parts]))

    def __add__(self, other: TrainingSet) -> TrainingSet:
        return TrainingSet.cat(self, other)

    def runs(self) -> dict[str, Tensor]:
        """The same as runs of consecutive rows of one generation; `from_runs` reads them.

        All images of 100 generations are 100 runs, whatever the generations' size: generation
        int16[R], start int32[R] and count int32[R].
        """
        if not len(self):
            return {"generation": self.generation, "start": self.row, "count": self.row}
        breaks = (self.generation.diff() != 0) | (self.row.diff() != 1)
        first = torch.cat([torch.zeros(1, dtype=torch.int64), breaks.nonzero().flatten() + 1])
        count = torch.cat([first, torch.tensor([len(self)])]).diff().to(torch.int32)
        return {"generation": self.generation[first], "start": self.row[first], "count": count}

    @classmethod
    def from_runs(cls, generation: Tensor, start: Tensor, count: Tensor) -> TrainingSet:
        """The training set whose `runs` these are."""
        images, first = int(count.sum()), count.long().cumsum(0) - count
        # From one image to the next, and no index of each: a few runs may stand for millions.
        row = torch.ones(images, dtype=torch.int32)
        source = torch.zeros(images, dtype=torch.int16)
        row[first] = start.diff(prepend=start.new_zeros(1))
        row[first[1:]] -= count[:-1] - 1
        source[first] = generation.diff(prepend=generation.new_zeros(1))
        return cls(source.cumsum(0, dtype=torch.int16), row.cumsum(0, dtype=torch.int32))

    def by_generation(self) -> Iterator[tuple[int, Tensor]]:
        """Each generation that images come from, and their positions here, int64."""
        order = self.generation.argsort(stable=True)
        found, counts = self.generation[order].unique_consecutive(return_counts=True)
        yield from zip(found.tolist(), order.split(counts.tolist()), strict=True)


@dataclass(frozen=True)
class Selection:
    """The images of a generation that may be trained on."""

    rows: Tensor  # int32[M], in the order a regime takes them, or `REMOVED`
    labels: Tensor  # int16[M], what they are trained as; a person may have corrected them

    def __len__(self) -> int:
        return len(self.rows)


class LineageImages:
    """The generations so far, oldest first, and the reserve of fresh real images.

    A regime takes positions in the pool; where nothing was filtered they are rows. The reserve's
    rows are in no particular class order.
    """

    def __init__(self, real: Images, reserve: ImageSet) -> None:
        self.generations = [real]
        self.reserve = reserve
        self.pool: dict[int, Tensor] = {}

    def append(self, samples: Images) -> None:
        """Add the next generation."""
        self.generations.append(samples)

    def restrict(self, generation: int, kept: Selection) -> None:
        """Let only what was kept of a generation into the pool, under its new labels."""
        images = self.generations[generation]
        labels, entered = images.labels.clone(), kept.rows != REMOVED
        labels[kept.rows[entered].long()] = kept.labels[entered]
        self.generations[generation] = images.relabeled(labels)
        self.pool[generation] = kept.rows

    def restrict_to_rows(self, generation: int, rows: Tensor | None) -> None:
        """The same for int32[M] rows, gaps among them, under the labels they have; None for all."""
        if rows is None:
            return
        labels = self.generations[generation].labels
        self.restrict(generation, Selection(rows, labels[rows.long().clamp(min=0)]))

    def size(self, generation: int) -> int:
        """Number of images of a generation, or of the `RESERVE`, that may be trained on."""
        if generation == RESERVE:
            return len(self.reserve.labels)
        return len(self.pool.get(generation, self.generations[generation].labels))

    def rows(self, places: TrainingSet) -> TrainingSet:
        """The rows at positions of the pool; gaps are left out."""
        if not self.pool:
            return places
        row = places.row.clone()
        for generation, here in places.by_generation():
            if generation in self.pool:
                row[here] = self.pool[generation][places.row[here].long()]
        there = row != REMOVED
        return TrainingSet(places.generation[there], row[there])

    def labels(self, chosen: TrainingSet) -> Tensor:
        """Labels of a training set: int16[M]."""
        labels = torch.empty(len(chosen), dtype=torch.int16)
        for generation, here in chosen.by_generation():
            source = self.reserve if generation == RESERVE else self.generations[generation]
            labels[here] = source.labels[chosen.row[here].long()]
        return labels

    def gather(self, chosen: TrainingSet) -> Images:
        """The images of a training set, in its order, each read when it is asked for."""
        # A later birth, or a later name, is none of this training set's.
        born, reserve = dict(enumerate(self.generations)), self.reserve
        return GatheredImages(len(chosen), lambda rows: _read(chosen[rows], born, reserve))


def _read(chosen: TrainingSet, born: Mapping[int, Images], reserve: ImageSet) -> Images:
    """One copy of the images of a training set."""
    pixels = torch.empty(len(chosen), *born[0].shape, dtype=torch.uint8)
    labels = torch.empty(len(chosen), dtype=torch.int16)
    for generation, here in chosen.by_generation():
        rows = chosen.row[here].long()
        source = reserve if generation == RESERVE else born[generation]
        seen = source.pixels if isinstance(source, Images) else None
        pixels[here] = reserve.read(rows) if seen is None else seen[rows]
        labels[here] = source.labels[rows]
    return Images(pixels, labels)


class RowSelector(Protocol):
    """A rule for composing training sets, such as a regime."""

    def select(self, images: LineageImages, g: int, seed: Seed, /) -> TrainingSet:
        """Returns the training set of the g-th model from generations 0 to g - 1."""
        ...


def training_sets(
    regime: RowSelector,
    images: LineageImages,
    seeds: Callable[[int], Seed],
    curate: Callable[[int, Seed], object] | None = None,
    last: int | None = None,
) -> Iterator[tuple[int, Seed, TrainingSet]]:
    """Iterates over the generations of a lineage: g, its seed and its training set.

    It starts at the first one that is missing; without a `last` it never ends. The events of
    generation g, with `seed = seeds(g)`, are:

    1. `curate(g - 1, seed / "curate")` restricts generation g - 1 to what filters keep of it;
    2. the regime selects the training set of the g-th model, drawing from `seed / "select"`;
    3. the caller trains the model, draws its samples and appends them to `images`, before it asks
       for the next generation.
    """
    first = len(images.generations)
    for g in count(first) if last is None else range(first, last + 1):
        seed = seeds(g)
        if curate is not None:
            curate(g - 1, seed / "curate")
        yield g, seed, regime.select(images, g, seed / "select")
