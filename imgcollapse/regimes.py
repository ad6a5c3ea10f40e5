"""Regimes: rules for composing the training set of each model from the generations before it.

A regime selects rows, never pixels. n is the size of generation 0, the real training set. Every
regime trains the first model on generation 0 (g = 1); they differ from the second on. Of each later
generation the first n samples that curation has kept are used, or all where there are fewer:
samples are in random order, and more than n of them only make the census more precise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from imgcollapse.core.components import Component, ComponentUnion
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import described
from imgcollapse.core.lineage_images import RESERVE, LineageImages, TrainingSet
from imgcollapse.core.seeds import Seed

INT16, INT32 = torch.int16, torch.int32


class Regime(Component, ABC):
    """A rule for composing training sets."""

    reach: ClassVar[int | None] = None
    """Latest generations that a training set may have samples of; None is all."""
    closed: ClassVar[bool] = False
    """Whether training sets are samples of the model before alone: a lost class never returns."""

    @abstractmethod
    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """Returns the training set of the g-th model, g >= 2, as positions among kept images."""

    def select(self, images: LineageImages, g: int, seed: Seed) -> TrainingSet:
        """Returns the training set of the g-th model, g >= 1, from generations 0 to g - 1."""
        n = images.size(0)
        chosen = first_rows(0, n) if g == 1 else self.select_after_first(images, g, n, seed)
        if why := _invalid(chosen, images, g):
            raise UserError(
                f"regime {self.kind}: select_after_first returned {why}; let it return a "
                "TrainingSet (imgcollapse.core.lineage_images) of int16[M] generations before "
                f"{g}, or RESERVE, and int32[M] positions among their images"
            )
        return images.rows(chosen)

    def samples_used(self, n: int) -> int:
        """Most samples of one generation that a training set of this regime may use."""
        return n

    def fresh_used(self, n: int, generations: int) -> int:
        """Number of fresh real images that a lineage takes from the reserve."""
        return 0


def _invalid(chosen: object, images: LineageImages, g: int) -> str:
    """What is wrong with a training set that a regime of one's own may have made; or nothing."""
    if not isinstance(chosen, TrainingSet):
        return described(chosen)
    born, row = chosen.generation, chosen.row
    typed = isinstance(born, Tensor) and isinstance(row, Tensor) and born.ndim == 1
    if not typed or born.shape != row.shape or (born.dtype, row.dtype) != (INT16, INT32):
        return f"a TrainingSet of {described(born)} and {described(row)}"
    for generation, here in chosen.by_generation():
        if not RESERVE <= generation < g:
            return f"a TrainingSet with generation {generation}"
        rows, size = row[here], images.size(generation)
        # A reserve that is too small is reported where its size is known.
        if rows.min() < 0 or (generation != RESERVE and rows.max() >= size):
            worst = int(rows.min() if rows.min() < 0 else rows.max())
            return f"position {worst} among the {size} images of generation {generation}"
    return ""


def first_rows(generation: int, count: int, start: int = 0) -> TrainingSet:
    """`count` consecutive positions of one generation."""
    return TrainingSet.from_generation(generation, torch.arange(start, start + count))


def generation_rows(images: LineageImages, generation: int, count: int) -> TrainingSet:
    """The first `count` samples kept of a generation, or all where there are fewer."""
    return first_rows(generation, min(count, images.size(generation)))


def all_rows(images: LineageImages, g: int, n: int) -> TrainingSet:
    """All n real images and the first n samples of each generation before g."""
    return TrainingSet.cat(
        first_rows(0, n), *(generation_rows(images, past, n) for past in range(1, g))
    )


class Replace(Regime):
    """Only the previous model's samples: {g-1}. With a perfect learner, Wright-Fisher drift.

    Shumailov et al. 2024, doi:10.1038/s41586-024-07566-y.
    """

    reach: ClassVar[int | None] = 1
    closed: ClassVar[bool] = True
    kind: Literal["replace"] = "replace"

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """Rows 0..n-1 of generation g-1."""
        return generation_rows(images, g - 1, n)


class Accumulate(Regime):
    """All real images and all samples so far: {0, ..., g-1}, n of each, so g n in all.

    Gerstgrasser et al. 2024, arXiv:2404.01413.
    """

    kind: Literal["accumulate"] = "accumulate"

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """Rows 0..n-1 of every generation."""
        return all_rows(images, g, n)


class AccumulateSubsample(Regime):
    """n images drawn without replacement from all that `accumulate` would use.

    Kazdan et al. 2024, arXiv:2410.16713.
    """

    kind: Literal["accumulate-subsample"] = "accumulate-subsample"

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """n of the g n rows of generations 0..g-1."""
        pool = all_rows(images, g, n)
        return pool[torch.randperm(len(pool), generator=seed.torch())[:n]]


class RealFraction(Regime):
    """round(a n) real images, the rest of n from the previous model.

    With `fresh` the real images are new ones from the reserve each time (Wright's island model
    with migration rate a); with `redrawn` they are drawn anew from generation 0 (Shumailov et al.
    2024 keep 10% so); without either, the same fixed subset of generation 0.
    """

    reach: ClassVar[int | None] = 1
    kind: Literal["real-fraction"] = "real-fraction"
    fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    fresh: bool = False
    redrawn: bool = False

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> RealFraction:
        if self.fresh and self.redrawn:
            raise ValueError(
                "fresh takes new real images and redrawn those of generation 0; set one of them"
            )
        return self

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """a n real rows and (1-a) n rows of generation g-1."""
        real = round(self.fraction * n)
        kept = first_rows(RESERVE, real, (g - 2) * real) if self.fresh else first_rows(0, real)
        if self.redrawn:
            kept = TrainingSet.from_generation(0, torch.randperm(n, generator=seed.torch())[:real])
        return kept + generation_rows(images, g - 1, self.samples_used(n))

    def samples_used(self, n: int) -> int:
        """n - round(a n)."""
        return n - round(self.fraction * n)

    def fresh_used(self, n: int, generations: int) -> int:
        """round(a n) for every model but the first, where fresh."""
        return round(self.fraction * n) * (generations - 1) if self.fresh else 0


class RealPlusSynthetic(Regime):
    """All n real images and round(lambda n) samples of the previous model.

    Bertrand et al. 2023, arXiv:2310.00429.
    """

    reach: ClassVar[int | None] = 1
    kind: Literal["real-plus-synthetic"] = "real-plus-synthetic"
    ratio: Annotated[float, Field(ge=0)] = 1.0

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """All of generation 0 and lambda n rows of generation g-1."""
        return first_rows(0, n) + generation_rows(images, g - 1, self.samples_used(n))

    def samples_used(self, n: int) -> int:
        """round(lambda n)."""
        return round(self.ratio * n)


class Fresh(Regime):
    """n fresh real images for every model: the control without any synthetic image."""

    reach: ClassVar[int | None] = 0
    kind: Literal["fresh"] = "fresh"

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """The next n rows of the reserve."""
        return first_rows(RESERVE, n, (g - 2) * n)

    def samples_used(self, n: int) -> int:
        """None."""
        return 0

    def fresh_used(self, n: int, generations: int) -> int:
        """n for every model but the first."""
        return n * (generations - 1)


class RealOnly(Regime):
    """Generation 0 for every model: the compute-matched control, where nothing is inherited."""

    reach: ClassVar[int | None] = 0
    kind: Literal["real-only"] = "real-only"

    def select_after_first(self, images: LineageImages, g: int, n: int, seed: Seed) -> TrainingSet:
        """All of generation 0."""
        return first_rows(0, n)

    def samples_used(self, n: int) -> int:
        """None."""
        return 0


AnyRegime = Annotated[
    Regime,
    ComponentUnion(
        *(Replace, Accumulate, AccumulateSubsample),
        *(RealFraction, RealPlusSynthetic, Fresh, RealOnly),
    ),
]
