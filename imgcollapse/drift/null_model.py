"""The null model: what genetic drift alone does to class shares under a study's own regime.

A perfect learner is simulated, labels only. The events of generation g are those of a study:

1. filters that look at no image restrict generation g - 1;
2. the regime's own `select` picks the rows of the g-th training set;
3. the training set's class shares are counted, images without a class left out;
4. if the model is conditional, the label policy turns them into the shares to sample;
5. N labels are drawn from these shares, independently: generation g.

This is exact for every regime, a user's own too: Wright-Fisher drift under `replace`, Wright's
island model where real images are added (Wright 1931, doi:10.1093/genetics/16.2.97), and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, LabelsOnly, class_shares
from imgcollapse.core.lineage_images import RESERVE, LineageImages, RowSelector, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.drift.count_simulation import (
    Counts,
    GeneratedCounts,
    KnownCounts,
    LookedAtImages,
    depends_on_counts_only,
    used,
)

Array = NDArray[np.float64]

LABELS = 6_000_000
"""Most labels of one generation, over all replicates, that are drawn image by image."""

FEWEST = 200
"""Replicates that are made however many images a generation has."""

SharesAsked = Callable[[Tensor, Tensor], Tensor]
"""A label policy: class shares float64[K] of a training set and of the real training set => the
shares that the next samples are asked for."""


class SelectionModel(Protocol):
    """Filters, as if all images looked alike."""

    def __call__(self, generation: int, n: int, seed: Seed) -> Tensor | None:
        """Returns the rows of n images that are kept, int32[M] with gaps; None for all of them."""
        ...


@dataclass(frozen=True)
class NullModel:
    """S simulated lineages of G generations of K classes under drift alone.

    Attributes:
        shares: float64[S, G+1, K], class shares of every generation's samples; row 0 is real.
        sources: float64[G+1, G+1], the share of the g-th training set that comes from each
            generation; fresh real images count as generation 0. Row 0 is zero.
        real: float64[G+1, K], what the real images in the g-th training set add to its class
            shares, known exactly: its row sums are column 0 of `sources`.
        asked: the label policy of a conditional model, or None.
    """

    shares: Array
    sources: Array
    real: Array
    asked: SharesAsked | None = None

    @property
    def expected(self) -> Array:
        """Mean class shares: float64[G+1, K]."""
        return self.shares.mean(axis=0)

    def band(self, confidence: float = 0.95) -> tuple[Array, Array]:
        """Lower and upper end of the band that holds the replicates' shares: float64[G+1, K].

        Each end is a share of some replicate: at most (1 - confidence)/2 lie beyond either.
        """
        return band(self.shares, confidence)

    def given(self, shares: Array) -> Array:
        """Expected class shares of each generation, given those before it.

        The training set's shares are the real part plus `sources` times the shares of the samples
        it came from; a label policy may ask for others. Where a training set uses a part of the
        samples, that part is expected to be like the whole.

        Args:
            shares: float64[..., G+1, K].

        Returns:
            float64[..., G+1, K]; row 0 is the real shares.
        """
        expected = self.real + self.sources[:, 1:] @ shares[..., 1:, :]
        # Shares of 0 or 1 in each source stay exactly 0 or 1 in the mixture.
        expected = expected.round(14)
        expected[..., 0, :] = self.shares[0, 0]
        if self.asked is None:
            return np.clip(expected, 0, 1)
        rows = expected[..., 1:, :].reshape(-1, expected.shape[-1])
        for row in rows:
            row[:] = _asked_shares(self.asked, row, self.shares[0, 0])
        expected[..., 1:, :] = rows.reshape(expected[..., 1:, :].shape)
        return np.clip(expected, 0, 1)

    def lineage_groups(self, lineages: int, seed: Seed) -> NDArray[np.intp]:
        """Random groups of L replicates, to compare with a study of L lineages: int[S, L]."""
        rng, replicates = seed.numpy(), len(self.shares)
        return np.stack([rng.permutation(replicates) for _ in range(lineages)], axis=1)


def band(values: Array, confidence: float = 0.95) -> tuple[Array, Array]:
    """Values [S, ...] of replicates => the lower and upper end of the band that holds them."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail), axis=0, method="inverted_cdf")
    return low, high


def simulate(
    regime: RowSelector,
    asked: SharesAsked | None,
    real: Tensor,
    reserve: Tensor,
    samples: int,
    generations: int,
    classes: int,
    seed: Seed,
    replicates: int = 1000,
    history: Sequence[Tensor] = (),
    curation: SelectionModel | None = None,
) -> NullModel:
    """Simulates S lineages of labels under a regime.

    A regime that chooses rows by sizes alone is simulated by counts; one that draws rows at random
    or looks at labels is called in every replicate, in which case the replicates are no more than 6
    million over the larger of n and N, but at least 200. More generations leave the earlier ones as
    they are.

    Args:
        regime: anything with a regime's `select`.
        asked: the label policy's `shares` for a conditional model, else None.
        real: int16[n], labels of generation 0.
        reserve: int16[R], labels of the fresh real images, in the order they are used.
        samples: N, images in each generation.
        generations: G, those of the history included.
        classes: K.
        seed: names every draw, together with generation and replicate.
        replicates: S.
        history: int16[N] labels of generations 1, 2, ... that are observed; the rest is simulated.
        curation: the filters; None keeps everything.

    Raises:
        UserError: a training set has no image with a class, or the reserve is too small.
    """
    if len(history) > generations:
        raise UserError(
            f"null model: {len(history)} generations were observed and only {generations} are to be"
            " simulated; ask for at least as many"
        )
    sizes = {0: len(real), 1: samples}
    if curation and all(curation(g, n, seed) is None for g, n in sizes.items()):
        curation = None
    simulation = _Simulation(
        regime, asked, real, reserve, samples, generations, classes, seed, history, curation
    )
    try:
        if curation:
            raise LookedAtImages
        # The first training set is real under every regime: the second shows how rows are chosen.
        depends_on_counts_only(regime, 2, simulation.sizes)
        return simulation.by_counts(replicates)
    except LookedAtImages:
        most = max(FEWEST, LABELS // max(len(real), samples))
        return simulation.by_images(min(replicates, most))


@dataclass(frozen=True)
class _Simulation:
    """The arguments of `simulate`, and its two engines."""

    regime: RowSelector
    asked: SharesAsked | None
    real: Tensor
    reserve: Tensor
    samples: int
    generations: int
    classes: int
    seed: Seed
    history: Sequence[Tensor]
    curation: SelectionModel | None

    @property
    def sizes(self) -> dict[int, int]:
        simulated = dict.fromkeys(range(1, self.generations + 1), self.samples)
        observed = {h: len(labels) for h, labels in enumerate(self.history, start=1)}
        real = {RESERVE: len(self.reserve), 0: len(self.real), 1: self.samples}
        return real | simulated | observed

    def by_counts(self, replicates: int) -> NullModel:
        """All replicates at a time, of a regime that chooses rows by sizes alone."""
        real = class_shares(self.real, self.classes).numpy()
        shares, sources, fixed = self._empty(replicates)
        generations: dict[int, KnownCounts | GeneratedCounts] = {
            RESERVE: KnownCounts(self.reserve, self.classes),
            0: KnownCounts(self.real, self.classes),
        }
        shares[:, 0] = real
        for g in range(1, self.generations + 1):
            generation, row = depends_on_counts_only(self.regime, g, self.sizes)
            self._check_reserve(g, generation, row)
            rng = (self.seed / g / "split").numpy()
            counts: Counts = np.zeros((replicates, self.classes), np.int64)
            for h, times in used(generation, row, self.sizes):
                taken = generations[h].take(times, rng)
                counts = counts + taken
                sources[g, max(h, 0)] += taken.sum(axis=-1).flat[0]
                if h <= 0:
                    fixed[g] += taken
            total = int(counts[0].sum())
            self._check_known(g, total)
            sources[g] /= total
            fixed[g] /= total
            if g <= len(self.history):
                generations[g] = KnownCounts(self.history[g - 1], self.classes)
                shares[:, g] = class_shares(self.history[g - 1], self.classes).numpy()
            else:
                wanted = counts / total
                if self.asked is not None:
                    wanted = np.stack([_asked_shares(self.asked, row, real) for row in wanted])
                wanted = wanted / wanted.sum(axis=1, keepdims=True)
                drawn = (self.seed / g / "born").numpy().multinomial(self.samples, wanted)
                generations[g] = GeneratedCounts(drawn, self.samples)
                shares[:, g] = drawn / self.samples
        return NullModel(shares, sources, fixed, self.asked)

    def by_images(self, replicates: int) -> NullModel:
        """One replicate after another, image by image."""
        real = class_shares(self.real, self.classes).numpy()
        shares, sources, fixed = self._empty(replicates)
        shares[:, 0] = real
        for replicate in range(replicates):
            images = LineageImages(LabelsOnly(self.real), LabelsOnly(self.reserve))
            for g, seed, chosen in training_sets(
                self.regime,
                images,
                lambda g, replicate=replicate: self.seed / g / replicate,
                self._curation_of(images),
                self.generations,
            ):
                self._check_reserve(g, chosen.generation.numpy(), chosen.row.numpy())
                labels = images.labels(chosen)
                known = labels != UNKNOWN
                self._check_known(g, int(known.sum()))
                source = chosen.generation[known].long().clamp(min=0)
                origin = torch.bincount(source, minlength=self.generations + 1).double()
                sources[g] += (origin / len(source)).numpy()
                of_real = labels[known][source == 0].long()
                fixed[g] += torch.bincount(of_real, minlength=self.classes).numpy() / len(source)
                if g <= len(self.history):
                    samples = self.history[g - 1]
                else:
                    wanted = class_shares(labels, self.classes)
                    if self.asked is not None:
                        wanted = torch.from_numpy(_asked_shares(self.asked, wanted.numpy(), real))
                    rng = (seed / "born").torch()
                    samples = torch.multinomial(wanted, self.samples, True, generator=rng)
                shares[replicate, g] = class_shares(samples, self.classes).numpy()
                images.append(LabelsOnly(samples.to(torch.int16)))
        return NullModel(shares, sources / replicates, fixed / replicates, self.asked)

    def _curation_of(self, images: LineageImages) -> Callable[[int, Seed], None] | None:
        curation = self.curation
        if curation is None:
            return None
        return lambda g, seed: images.restrict_to_rows(g, curation(g, images.size(g), seed))

    def _empty(self, replicates: int) -> tuple[Array, Array, Array]:
        rows = self.generations + 1
        return (
            np.zeros((replicates, rows, self.classes)),
            np.zeros((rows, rows)),
            np.zeros((rows, self.classes)),
        )

    def _check_reserve(self, g: int, generation: np.ndarray, row: np.ndarray) -> None:
        fresh = row[generation == RESERVE]
        if len(fresh) and fresh.max() >= len(self.reserve):
            raise UserError(
                f"null model: the training set of generation {g} uses fresh real image"
                f" {int(fresh.max())} of {len(self.reserve)}; give a larger reserve"
            )

    def _check_known(self, g: int, known: int) -> None:
        if not known:
            raise UserError(
                f"null model: no image in the training set of generation {g} has a class, so there"
                " are no shares to draw from; simulate from an earlier generation"
            )


def _asked_shares(asked: SharesAsked, training: Array, real: Array) -> Array:
    return asked(torch.from_numpy(training.copy()), torch.from_numpy(real.copy())).numpy()
