"""Simulation by class counts, for regimes that choose rows without a look at labels or the seed.

The samples of one generation are independent draws from the same shares, so rows that every
training set so far has used equally often are exchangeable: of such a cell only its class counts
matter. When the next training set uses a part of a cell, the counts of that part are multivariate
hypergeometric, and the cell is split. This is exact, and takes S K numbers a cell instead of S n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import LineageImages, RowSelector, TrainingSet
from imgcollapse.core.seeds import Seed

Counts = NDArray[np.int64]


class LookedAtImages(Exception):  # noqa: N818 - not an error: a way back
    """Raised where a regime looks at more than sizes."""


class _Sizes(LineageImages):
    """Images of a lineage of which only the number in each generation is known."""

    def __init__(self, sizes: dict[int, int]) -> None:
        self.sizes = sizes

    def size(self, generation: int) -> int:
        return self.sizes[generation]

    def rows(self, places: TrainingSet) -> TrainingSet:
        return places

    def labels(self, chosen: object) -> NoReturn:
        raise LookedAtImages

    gather = labels

    def __getattr__(self, name: str) -> NoReturn:
        raise LookedAtImages(name)


class _NoSeed:
    """A seed that cannot be drawn from."""

    def __truediv__(self, name: object) -> NoReturn:
        raise LookedAtImages(name)

    def __int__(self) -> NoReturn:
        raise LookedAtImages

    def __getattr__(self, name: str) -> NoReturn:
        raise LookedAtImages(name)


def depends_on_counts_only(
    regime: RowSelector, g: int, sizes: dict[int, int]
) -> tuple[NDArray[np.int64], ...]:
    """Returns the g-th training set from sizes alone: generation and row, int64[M] both.

    Raises:
        LookedAtImages: the regime used more than `LineageImages.size`, so that its rows may differ
            from replicate to replicate.
    """
    chosen = regime.select(_Sizes(sizes), g, cast(Seed, _NoSeed()))
    return chosen.generation.numpy().astype(np.int64), chosen.row.numpy().astype(np.int64)


class KnownCounts:
    """A generation whose labels are known, the same in every replicate."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        self.labels, self.classes = labels.numpy().astype(np.int64), classes

    def take(self, times: NDArray[np.int64], rng: np.random.Generator) -> Counts:
        """Class counts of rows that are used so many `times` each, int64[N]: int64[K]."""
        known = self.labels != UNKNOWN
        counts = np.bincount(self.labels[known], times[known], minlength=self.classes)
        return counts.astype(np.int64)


class GeneratedCounts:
    """A generation of samples, as cells of exchangeable rows."""

    def __init__(self, counts: Counts, size: int) -> None:
        """One cell: `size` rows whose class counts are int64[S, K]."""
        self.cells = [(np.arange(size), counts)]

    def take(self, times: NDArray[np.int64], rng: np.random.Generator) -> Counts:
        """Class counts of rows that are used so many `times` each, int64[N]: int64[S, K]."""
        taken, cells = np.zeros_like(self.cells[0][1]), []
        for rows, counts in self.cells:
            here, rest = times[rows], counts
            *others, last = np.unique(here).tolist()
            for value in others:
                part = _subset(rest, int((here == value).sum()), rng)
                cells.append((rows[here == value], part))
                taken, rest = taken + value * part, rest - part
            cells.append((rows[here == last], rest))
            taken = taken + last * rest
        self.cells = cells
        return taken


def _subset(counts: Counts, size: int, rng: np.random.Generator) -> Counts:
    """Class counts of `size` rows of each cell: multivariate hypergeometric, int64[S, K]."""
    part, left = np.zeros_like(counts), np.full(len(counts), size)
    others = counts.sum(axis=1)
    for k in range(counts.shape[1]):
        others = others - counts[:, k]
        part[:, k] = rng.hypergeometric(counts[:, k], others, left)
        left = left - part[:, k]
    return part


def used(
    generation: NDArray[np.int64], row: NDArray[np.int64], sizes: dict[int, int]
) -> Sequence[tuple[int, NDArray[np.int64]]]:
    """Counts of each row of each generation in a training set: (generation, int64[N])."""
    sources = np.unique(generation).tolist()
    return [(h, np.bincount(row[generation == h], minlength=sizes[h])) for h in sources]
