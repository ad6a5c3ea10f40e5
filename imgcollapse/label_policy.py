"""Which class labels a conditional model is asked for.

A model asked for fixed shares cannot lose a class by count, only by content; asked for shares
drawn from its own training set, it drifts. Both what was asked and what the oracle then sees are
recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from torch import Tensor

from imgcollapse.core.components import Component, ComponentUnion
from imgcollapse.core.seeds import Seed


class LabelPolicy(Component, ABC):
    """A distribution over labels; n labels are n independent draws from it."""

    @abstractmethod
    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """The distribution asked for.

        Args:
            training: float64[K], class shares of the model's training set.
            real: float64[K], class shares of the real training set.

        Returns:
            float64[K] that sums to 1.
        """

    def draw(self, training: Tensor, real: Tensor, n: int, seed: Seed) -> Tensor:
        """int16[n] labels for the next samples; arguments as for `shares`."""
        shares = self.shares(training, real)
        drawn = torch.multinomial(shares, n, replacement=True, generator=seed.torch())
        return drawn.to(torch.int16)


class Uniform(LabelPolicy):
    """Every class as often as any other."""

    kind: Literal["uniform"] = "uniform"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """1/K each."""
        return torch.full_like(real, 1 / len(real))


class RealMarginal(LabelPolicy):
    """Every class as often as among the real images."""

    kind: Literal["real"] = "real"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """The real shares."""
        return real


class TrainingMarginal(LabelPolicy):
    """Every class as often as in the training set of the model that is asked."""

    kind: Literal["training"] = "training"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """The training set's shares."""
        return training


AnyPolicy = Annotated[LabelPolicy, ComponentUnion(Uniform, RealMarginal, TrainingMarginal)]
