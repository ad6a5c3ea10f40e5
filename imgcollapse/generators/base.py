"""The interface of a generator and of the model it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.images import Images
from imgcollapse.training.context import RunContext


class Model(Protocol):
    """A trained generator."""

    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draw one image for each label.

        Args:
            labels: int16[N], the class asked for; an unconditional model uses only their number.
            context: the seed of the draws, progress, and checkpoints of the images drawn so far.

        Returns:
            N images; their labels are what was asked for, or `UNKNOWN` from an unconditional model;
            a resampled image keeps the label of the image it copies.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything needed to restore the model, as named tensors on the CPU."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """A trained generator that knows how likely an image is."""

    @property
    def dimensions(self) -> str:
        """What its bits are bits of; they compare where this is the same."""
        ...

    def bits_per_dim(self, images: Images) -> Tensor:
        """Exact bits per dimension of each image, -log2 p / (C H W): float64[N]."""
        ...


class Generator(Component, ABC):
    """An image model that can be trained.

    Attributes:
        conditional: whether it is asked for a class.
        warm_start: whether training starts from the previous generation's model.
        by_heart: whether a model is nothing but its training set, so that none is saved.
        divides: whether `fit` and `sample` share their work with the processes that are here
            (core/world.py); what does not is the first process's alone.
    """

    stores_training_set: ClassVar[bool] = False
    supports_data_parallel: ClassVar[bool] = False
    conditional: bool = False
    warm_start: bool = False

    @property
    def needs_previous(self) -> bool:
        """Whether `fit` is to be given the previous generation's model."""
        return self.warm_start

    def training_steps(self, images: int, warm: bool = False) -> int | None:
        """Optimizer steps on so many images, from scratch or warm; None if it takes none."""
        return None

    @abstractmethod
    def fit(self, images: Images, context: RunContext, previous: Model | None = None) -> Model:
        """Train on `images`, from the start or from the `previous` generation's model.

        Args:
            images: the training set.
            context: seed, device, classes, progress and checkpoints of the training.
            previous: the previous generation's model, if `needs_previous` and there is one.
        """

    @abstractmethod
    def restore(self, state: dict[str, Tensor], context: RunContext) -> Model:
        """Returns the model whose `state` was saved."""
