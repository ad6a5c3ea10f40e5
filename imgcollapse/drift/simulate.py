"""The null model: a perfect learner that lives under a study's own regime.

Only labels live; the events of generation g are those of a study:

1. the regime's real `select` picks the rows of the g-th training set from all that was born, less
   what filters that see no content have turned away;
2. the training set's class shares are counted, images nobody could name left out;
3. a labels policy, where the model is conditional, turns them into the shares asked for;
4. N labels are drawn from these shares, independently: generation g.

So it is exact for every regime, a user's own too: Wright-Fisher drift (Wright 1931) under
`replace`, Wright's island model where real data comes in, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images, class_shares
from imgcollapse.core.lineage_images import RESERVE, LineageImages, TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.drift.count_simulation import (
    Counts,
    GeneratedCounts,
    KnownCounts,
    LookedAtImages,
    depends_on_counts_only,
    used,
)
from imgcollapse.drift.null import Array, Asked, NullModel

LABELS = 6_000_000
"""Labels of one generation, over all replicates, that are drawn one by one at most."""

FEWEST = 200
"""Replicates that are made however many images a generation has."""


class RowSelector(Protocol):
    """A rule for composing training sets."""

    def select(self, archive: LineageImages, g: int, seed: Seed) -> TrainingSet:
        """The training set of the g-th model from generations 0 to g - 1."""
        ...


class SelectionModel(Protocol):
    """What of a generation would enter the pool if all its images looked alike."""

    def __call__(self, generation: int, n: int, seed: Seed) -> Tensor | None:
        """int32[M] rows of n images, with gaps; None for all of them."""
        ...


@dataclass(frozen=True)
class Labels:
    """Real images of which only the labels exist: int16[N]."""

    labels: Tensor

    def read(self, rows: Tensor) -> Tensor:
        """No pixels: uint8[n, 1, 0, 0]."""
        return torch.empty(len(rows), 1, 0, 0, dtype=torch.uint8)


def simulate(
    regime: RowSelector,
    asked: Asked | None,
    real: Tensor,
    reserve: Tensor,
    samples: int,
    generations: int,
    classes: int,
    seed: Seed,
    replicates: int = 1000,
    history: Sequence[Tensor] = (),
    admitted: SelectionModel | None = None,
) -> NullModel:
    """Let S lineages of labels live under a regime.

    A regime that chooses rows by sizes alone is replayed by counting; one that draws rows at random
    or looks at labels is asked anew in every replicate, in which case the replicates are no more
    than 6 million over the larger of n and N, but at least 200. More generations leave the earlier
    ones as they are.

    Args:
        regime: anything with a regime's `select`.
        asked: the labels policy's `shares` for a conditional model, else None.
        real: int16[n], labels of generation 0.
        reserve: int16[R], labels of the fresh real images, in the order they are used.
        samples: N, images in each generation.
        generations: G, those of the history included.
        classes: K.
        seed: names every draw, together with generation and replicate.
        replicates: S.
        history: int16[N] labels of generations 1, 2, ... that are already born; the rest is chance.
        admitted: what filters let into the pool; none lets everything in.

    Raises:
        UserError: a training set has no named image, or the reserve is too small.
    """
    if len(history) > generations:
        raise UserError(
            f"replay: {len(history)} generations are born and only {generations} asked for;"
            " ask for at least as many"
        )
    sizes = {0: len(real), 1: samples}
    if admitted and all(admitted(g, n, seed) is None for g, n in sizes.items()):
        admitted = None
    life = _Life(
        regime, asked, real, reserve, samples, generations, classes, seed, history, admitted
    )
    try:
        if admitted:
            raise LookedAtImages
        # The first training set is real under every regime: the second shows how rows are chosen.
        depends_on_counts_only(regime, 2, life.sizes)
        return life.by_counting(replicates)
    except LookedAtImages:
        most = max(FEWEST, LABELS // max(len(real), samples))
        return life.one_by_one(min(replicates, most))


@dataclass(frozen=True)
class _Life:
    regime: RowSelector
    asked: Asked | None
    real: Tensor
    reserve: Tensor
    samples: int
    generations: int
    classes: int
    seed: Seed
    history: Sequence[Tensor]
    admitted: SelectionModel | None

    @property
    def sizes(self) -> dict[int, int]:
        born = dict.fromkeys(range(1, self.generations + 1), self.samples)
        past = {h: len(labels) for h, labels in enumerate(self.history, start=1)}
        return {RESERVE: len(self.reserve), 0: len(self.real), 1: self.samples} | born | past

    def by_counting(self, replicates: int) -> NullModel:
        real = class_shares(self.real, self.classes).numpy()
        course, sources, fixed = self._empty(replicates)
        alive: dict[int, KnownCounts | GeneratedCounts] = {
            RESERVE: KnownCounts(self.reserve, self.classes),
            0: KnownCounts(self.real, self.classes),
        }
        course[:, 0] = real
        for g in range(1, self.generations + 1):
            generation, row = depends_on_counts_only(self.regime, g, self.sizes)
            self._check_rows(g, generation, row)
            rng = (self.seed / g / "split").numpy()
            counts: Counts = np.zeros((replicates, self.classes), np.int64)
            for h, times in used(generation, row, self.sizes):
                taken = alive[h].take(times, rng)
                counts = counts + taken
                sources[g, max(h, 0)] += taken.sum(axis=-1).flat[0]
                if h <= 0:
                    fixed[g] += taken
            total = int(counts[0].sum())
            self._check_named(g, total)
            sources[g] /= total
            fixed[g] /= total
            if g <= len(self.history):
                alive[g] = KnownCounts(self.history[g - 1], self.classes)
                course[:, g] = class_shares(self.history[g - 1], self.classes).numpy()
            else:
                wanted = counts / total
                if self.asked is not None:
                    wanted = np.stack([self._wanted(row, real) for row in wanted])
                wanted = wanted / wanted.sum(axis=1, keepdims=True)
                drawn = (self.seed / g / "born").numpy().multinomial(self.samples, wanted)
                alive[g] = GeneratedCounts(drawn, self.samples)
                course[:, g] = drawn / self.samples
        return NullModel(course, sources, fixed, self.asked)

    def one_by_one(self, replicates: int) -> NullModel:
        real = class_shares(self.real, self.classes).numpy()
        course, sources, fixed = self._empty(replicates)
        course[:, 0] = real
        for replicate in range(replicates):
            archive = LineageImages(_images(self.real), Labels(self.reserve))
            for g in range(1, self.generations + 1):
                seed = self.seed / g / replicate
                self._admit(archive, g - 1, seed / "curate")
                chosen = self.regime.select(archive, g, seed / "select")
                self._check_rows(g, chosen.generation.numpy(), chosen.row.numpy())
                labels = archive.labels(chosen)
                named = labels != UNKNOWN
                self._check_named(g, int(named.sum()))
                source = chosen.generation[named].long().clamp(min=0)
                origin = torch.bincount(source, minlength=self.generations + 1).double()
                sources[g] += (origin / len(source)).numpy()
                ours = labels[named][source == 0].long()
                fixed[g] += torch.bincount(ours, minlength=self.classes).numpy() / len(source)
                if g <= len(self.history):
                    born = self.history[g - 1]
                else:
                    wanted = class_shares(labels, self.classes)
                    if self.asked is not None:
                        wanted = torch.from_numpy(self._wanted(wanted.numpy(), real))
                    draw = (seed / "born").torch()
                    born = torch.multinomial(wanted, self.samples, True, generator=draw)
                course[replicate, g] = class_shares(born, self.classes).numpy()
                archive.append(_images(born.to(torch.int16)))
        return NullModel(course, sources / replicates, fixed / replicates, self.asked)

    def _admit(self, archive: LineageImages, generation: int, seed: Seed) -> None:
        if self.admitted is None:
            return
        rows = self.admitted(generation, archive.size(generation), seed)
        if rows is not None:
            archive.restrict_to_rows(generation, rows)

    def _empty(self, replicates: int) -> tuple[Array, Array, Array]:
        born = self.generations + 1
        return (
            np.zeros((replicates, born, self.classes)),
            np.zeros((born, born)),
            np.zeros((born, self.classes)),
        )

    def _wanted(self, training: Array, real: Array) -> Array:
        assert self.asked is not None
        return self.asked(torch.from_numpy(training.copy()), torch.from_numpy(real)).numpy()

    def _check_rows(self, g: int, generation: np.ndarray, row: np.ndarray) -> None:
        fresh = row[generation == RESERVE]
        if len(fresh) and fresh.max() >= len(self.reserve):
            raise UserError(
                f"replay: the training set of generation {g} asks for fresh real image"
                f" {int(fresh.max())} of {len(self.reserve)}; give a reserve that lasts as long"
            )

    def _check_named(self, g: int, named: int) -> None:
        if not named:
            raise UserError(
                f"replay: no image in the training set of generation {g} has a class, so chance has"
                " nothing to draw from; replay from an earlier generation"
            )


def _images(labels: Tensor) -> Images:
    return Images(torch.empty(len(labels), 1, 0, 0, dtype=torch.uint8), labels)
