"""What many lineages of a perfect learner went through under one regime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.core.seeds import Seed

Array = NDArray[np.float64]

Asked = Callable[[Tensor, Tensor], Tensor]
"""The labels policy: class shares float64[K] of a training set and of the real training set => the
shares that the next samples are asked for."""


@dataclass(frozen=True)
class NullModel:
    """Chance alone: S replicates of G generations of K classes.

    Attributes:
        shares: float64[S, G+1, K], class shares of every generation's samples; row 0 is real.
        sources: float64[G+1, G+1], the share of the g-th training set that comes from each
            generation; fresh real images count as generation 0. Row 0 is zero.
        real: float64[G+1, K], what the real images in the g-th training set add to its class
            shares, known exactly: its row sums are column 0 of `sources`.
        asked: the labels policy of a conditional model, or None.
    """

    shares: Array
    sources: Array
    real: Array
    asked: Asked | None = None

    @property
    def expected(self) -> Array:
        """Mean class shares: float64[G+1, K]."""
        return self.shares.mean(axis=0)

    def band(self, confidence: float = 0.95) -> tuple[Array, Array]:
        """Where a replicate lies with this probability or more: low and high, float64[G+1, K].

        Each is a share that some replicate had: at most (1 - confidence)/2 lie beyond either.
        """
        return band(self.shares, confidence)

    def given(self, shares: Array) -> Array:
        """Class shares to expect of each generation, given those before it.

        The training set's shares are the real part plus `sources` times the shares of the samples
        it came from; a labels policy may ask for others. Where a training set takes a part of the
        samples, that part is expected to be like the whole.

        Args:
            shares: float64[..., G+1, K].

        Returns:
            float64[..., G+1, K]; row 0 is the real shares.
        """
        expected = self.real + self.sources[:, 1:] @ shares[..., 1:, :]
        # A class that is everything, or nothing, in each source is so in the mixture.
        expected = expected.round(14)
        expected[..., 0, :] = self.shares[0, 0]
        if self.asked is None:
            return np.clip(expected, 0, 1)
        real = torch.from_numpy(self.shares[0, 0].copy())
        rows = expected[..., 1:, :].reshape(-1, expected.shape[-1])
        for row in rows:
            row[:] = self.asked(torch.from_numpy(row.copy()), real).numpy()
        expected[..., 1:, :] = rows.reshape(expected[..., 1:, :].shape)
        return np.clip(expected, 0, 1)

    def lineage_groups(self, lineages: int, seed: Seed) -> NDArray[np.intp]:
        """Replicates put together at random as studies of L lineages: int[S, L].

        A study that has several lineages is one draw of several, so it is compared with such.
        """
        rng, replicates = seed.numpy(), len(self.shares)
        return np.stack([rng.permutation(replicates) for _ in range(lineages)], axis=1)


def band(values: Array, confidence: float = 0.95) -> tuple[Array, Array]:
    """Values [S, ...] of replicates => the lower and upper end of the band that holds them."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail), axis=0, method="inverted_cdf")
    return low, high
