"""Label policies: the class labels that a conditional model is asked to sample.

A model asked for fixed shares cannot lose a class by count, only by content; one asked for the
shares of its own training set drifts. Both the labels asked for and the classes that the oracle
counts are recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from torch import Tensor

from imgcollapse.core.components import Component, ComponentUnion
from imgcollapse.core.seeds import Seed


class LabelPolicy(Component, ABC):
    """A distribution over labels; n labels are n independent draws."""

    @abstractmethod
    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """Returns the distribution of the labels, float64[K] that sums to 1.

        `training` and `real` are class shares of the model's and the real training set.
        """

    def draw(self, training: Tensor, real: Tensor, n: int, seed: Seed) -> Tensor:
        """Draws int16[n] labels for the next samples; arguments as for `shares`."""
        shares = self.shares(training, real)
        drawn = torch.multinomial(shares, n, replacement=True, generator=seed.torch())
        return drawn.to(torch.int16)


class Uniform(LabelPolicy):
    """All classes have equal shares."""

    kind: Literal["uniform"] = "uniform"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """1/K each."""
        return torch.full_like(real, 1 / len(real))


class RealMarginal(LabelPolicy):
    """Classes have their shares among the real images."""

    kind: Literal["real"] = "real"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """The real shares."""
        return real


class TrainingMarginal(LabelPolicy):
    """Classes have their shares in the training set of the model that is sampled."""

    kind: Literal["training"] = "training"

    def shares(self, training: Tensor, real: Tensor) -> Tensor:
        """The training set's shares."""
        return training


AnyPolicy = Annotated[LabelPolicy, ComponentUnion(Uniform, RealMarginal, TrainingMarginal)]
