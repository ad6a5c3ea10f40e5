"""The interface of a generator and of the model it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol, Self, runtime_checkable

from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, InvalidImages, described
from imgcollapse.training.context import RunContext


@runtime_checkable
class Model(Protocol):
    """A trained generator."""

    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draws one image for each of int16[N] labels, which an unconditional model only counts.

        `context` has the seed of the draws, progress, and checkpoints of the images drawn so far.
        The images have the labels asked for; `UNKNOWN` from an unconditional model; a resampled
        image keeps the label of the image it copies.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Returns everything needed to restore the model, as named tensors on the CPU."""
        ...


class Likelihood(NamedTuple):
    """Exact likelihoods of N images under a model."""

    bits_per_dim: Tensor  # -log2 p / (C H W) of each image: float64[N]
    dimensions: str  # the units that are coded; bits compare only where this is the same


class Generator(Component, ABC):
    """An image model that can be trained."""

    # Whether a model is its training set, so that none is saved, and its samples are copies
    stores_training_set: ClassVar[bool] = False
    # Whether `fit` and `sample` divide their work among the processes of a job
    # (parallel/process_group.py); without it the first process does all of it
    supports_data_parallel: ClassVar[bool] = False
    # Whether its models can be written as diffusers pipelines
    exports_to_diffusers: ClassVar[bool] = False
    conditional: bool = False  # whether it is asked for a class
    warm_start: bool = False  # whether training starts from the previous generation's model

    @property
    def needs_previous(self) -> bool:
        """Whether `fit` is to be given the previous generation's model."""
        return self.warm_start

    def training_steps(self, images: int, warm: bool = False) -> int | None:
        """Returns the optimizer steps for a number of images; None if it takes none."""
        return None

    def with_steps(self, steps: int) -> Self | None:
        """Returns the same generator with other `steps`; None if it has no such setting."""
        has_steps = "steps" in type(self).model_fields
        return self.model_copy(update={"steps": steps}) if has_steps else None

    def images_at_once(self, images: int) -> int:
        """Returns how many of a number of images `sample` draws in its first batch."""
        return images

    def likelihood(self, model: Model, images: Images) -> Likelihood | None:
        """Returns the exact likelihood of images under a model of this generator, if it has one."""
        return None

    @abstractmethod
    def fit(self, images: Images, context: RunContext, previous: Model | None = None) -> Model:
        """Trains on `images`, from scratch, or from the `previous` model where it is given."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor], context: RunContext) -> Model:
        """Returns the model whose `state` was saved."""

    def checked_model(self, method: str, model: object) -> Model:
        """Returns what `method`, which may be a user's own, has returned, if it is a model."""
        if isinstance(model, Model):
            return model
        raise self._refused(method, described(model), "a model, with the methods sample and state")

    def checked_sample(self, model: Model, labels: Tensor, context: RunContext) -> Images:
        """Draws an image for each int16[N] label; fewer, or others, would look like collapse."""
        expected = str([len(labels), *context.shape])
        try:
            images = model.sample(labels, context)
            found = described(images)
            if isinstance(images, Images):
                found = str(list(images.pixels.shape))
                others = set(images.labels.tolist()).difference(range(-1, context.classes))
                if found == expected and not others:
                    return images
                if found == expected:
                    found = f"the label {min(others)}"
        except InvalidImages as error:
            found = f"images whose {error}"
        wanted = f"an image for each label, with labels from -1 to {context.classes - 1}"
        raise self._refused("sample", found, f"Images of uint8{expected}, {wanted}")

    def checked_state(self, model: Model) -> dict[str, Tensor]:
        """Returns a model's state if it can be saved."""
        state = model.state()
        values = list(state.values()) if isinstance(state, dict) else [state]
        if isinstance(state, dict) and all(isinstance(value, Tensor) for value in values):
            return state
        raise self._refused("state", ", ".join(map(described, values)), "dict[str, Tensor]")

    def _refused(self, method: str, found: str, wanted: str) -> UserError:
        return UserError(
            f"generator {self.kind}: {method} returned {found}; let it return {wanted}"
        )
