"""The perfect learner: it draws its training images again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.generators.base import Generator, Model
from imgcollapse.training.context import RunContext


class Resample(Generator):
    """Draws training images with replacement, their labels with them.

    It has learned the training distribution exactly, so what it loses from one generation to the
    next is what chance alone takes: Wright-Fisher drift (Wright 1931). A class with one image among
    n is lost with probability (1 - 1/n)^n, and heterozygosity 1 - sum p_i^2 falls by 1 - 1/n.
    """

    stores_training_set: ClassVar[bool] = True
    kind: Literal["resample"] = "resample"
    conditional: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]
    warm_start: Literal[False] = False  # pyright: ignore[reportIncompatibleVariableOverride]

    def fit(self, images: Images, context: RunContext, previous: Model | None = None) -> StoredSet:
        """Keeps the images."""
        if not len(images):
            raise UserError("training set: it is empty; give the generator at least one image")
        return StoredSet(images)

    def restore(self, state: dict[str, Tensor], context: RunContext) -> StoredSet:
        """The model whose `state` was saved."""
        return StoredSet(Images(state["pixels"], state["labels"]))


@dataclass(frozen=True)
class StoredSet:
    """Every training image."""

    images: Images

    def sample(self, labels: Tensor, context: RunContext) -> Images:
        """Draw as many training images as there are `labels`; each keeps the label it has."""
        n, draws = len(labels), context.seed.torch()
        rows = torch.randint(len(self.images), (n,), generator=draws, dtype=torch.int64)
        context.progress("sample", 1, 1, n)
        return self.images[rows]

    def state(self) -> dict[str, Tensor]:
        """The training images: uint8[N, C, H, W] pixels and int16[N] labels."""
        return {"pixels": self.images.pixels, "labels": self.images.labels}
