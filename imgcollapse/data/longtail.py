"""Long-tail profiles: class frequencies from the most common class to the rarest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field, field_validator
from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import did_you_mean


class LongTailProfile(Component, ABC):
    """Decides the order of the classes and their frequencies."""

    # A class called 0 is a number in YAML.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    @field_validator("order", "counts", mode="before", check_fields=False)
    @classmethod
    def _names_are_text(cls, names: Any) -> Any:
        for name in names if isinstance(names, (list, tuple, dict)) else ():
            if name is None or isinstance(name, (bool, float)):
                shown = "null" if name is None else str(name).lower()
                raise ValueError(
                    f"YAML reads {shown} as no text; if a class is called that, put its name in "
                    f"quotes as it is spelled, such as '{shown}'"
                )
        return names

    @abstractmethod
    def ranked(self, classes: Sequence[str]) -> list[int]:
        """Return the labels of the K classes from common to rare.

        Raises:
            UserError: a named class does not exist.
        """

    @abstractmethod
    def weights(self, classes: int) -> Tensor:
        """Return frequencies by rank, up to a factor: float64[K], non-increasing.

        Raises:
            UserError: the settings do not fit the number of classes.
        """

    @abstractmethod
    def total(self) -> int | None:
        """Return the size of the training set, or None for the largest possible."""


class ShapedProfile(LongTailProfile):
    """A profile given by a formula of the rank.

    Attributes:
        images: size of the training set; None for the largest that the source allows.
        order: names from common to rare; other classes follow in the source's order.
    """

    images: int | None = Field(default=None, ge=1)
    order: tuple[str, ...] = ()

    def ranked(self, classes: Sequence[str]) -> list[int]:
        """Return the classes of `order`, then the others."""
        _check_names("longtail.order", self.order, classes)
        named = [list(classes).index(name) for name in self.order]
        return named + [label for label in range(len(classes)) if label not in named]

    def total(self) -> int | None:
        """Return `images`."""
        return self.images


class Exponential(ShapedProfile):
    """Exponential profile: class k of K has factor^(-k / (K-1)) times the images of class 0.

    Cui et al. 2019, arXiv:1901.05555, with the exponent of Cao et al. 2019, arXiv:1906.07413.

    Attributes:
        factor: images of the most common class over images of the rarest.
    """

    kind: Literal["exponential"] = "exponential"
    factor: float = Field(default=100, ge=1)

    def weights(self, classes: int) -> Tensor:
        """Return factor^(-k / (K-1))."""
        return self.factor ** -torch.linspace(0, 1, classes, dtype=torch.float64)


class Step(ShapedProfile):
    """Step profile: common classes have equally many images, rare ones `factor` times fewer.

    Buda et al. 2018, arXiv:1710.05381.

    Attributes:
        factor: images of a common class over images of a rare one.
        rare: number of rare classes; None for half of them, rounded down.
    """

    kind: Literal["step"] = "step"
    factor: float = Field(default=100, ge=1)
    rare: int | None = Field(default=None, ge=1)

    def weights(self, classes: int) -> Tensor:
        """Return 1, and 1 / factor for the last `rare` classes."""
        rare = classes // 2 if self.rare is None else self.rare
        if rare >= classes:
            raise UserError(
                f"longtail.rare: {rare} of {classes} classes leaves none common; "
                f"use at most {classes - 1}"
            )
        weights = torch.ones(classes, dtype=torch.float64)
        weights[classes - rare :] /= self.factor
        return weights


class Zipf(ShapedProfile):
    """Zipf profile: class k has (k+1)^(-exponent) times the images of class 0."""

    kind: Literal["zipf"] = "zipf"
    exponent: float = Field(default=1, ge=0, le=16)

    def weights(self, classes: int) -> Tensor:
        """Return (k+1)^(-exponent)."""
        return torch.arange(1, classes + 1, dtype=torch.float64) ** -self.exponent


class Explicit(LongTailProfile):
    """Explicit profile: the number of images of every class, by name."""

    kind: Literal["explicit"] = "explicit"
    counts: dict[str, int] = Field(min_length=1)

    def ranked(self, classes: Sequence[str]) -> list[int]:
        """Return the classes by decreasing count, equal ones in the source's order."""
        names = tuple(self.counts)
        _check_names("longtail.counts", names, classes)
        for name in classes:
            if self.counts.get(name, 0) < 1:
                raise UserError(
                    f"longtail.counts: class {name!r} has no images; give every class at least 1"
                )
        return sorted(range(len(classes)), key=lambda label: -self.counts[classes[label]])

    def weights(self, classes: int) -> Tensor:
        """Return the counts in decreasing order."""
        return torch.tensor(sorted(self.counts.values(), reverse=True), dtype=torch.float64)

    def total(self) -> int:
        """Return the sum of the counts."""
        return sum(self.counts.values())


def round_to_total(weights: Tensor, images: int) -> Tensor:
    """Round float64[K] weights to proportional counts int64[K] that sum to `images`.

    By largest remainders, each class at least one, ties to the earlier class: decreasing weights
    give decreasing counts.

    Raises:
        ValueError: there are fewer images than classes.
    """
    if images < len(weights):
        raise ValueError(f"{images} images are too few for {len(weights)} classes")
    quotas = weights * (images / weights.sum())
    single = torch.zeros(len(weights), dtype=torch.bool)
    while (quotas[~single] < 1).any():  # raising these to one may lower others below one
        single |= quotas < 1
        quotas[~single] = weights[~single] * ((images - single.sum()) / weights[~single].sum())
    quotas[single] = 1
    counts = quotas.floor().long()
    by_remainder = (counts - quotas).argsort(stable=True)
    counts[by_remainder[: images - int(counts.sum())]] += 1
    return counts


def _check_names(key: str, names: Sequence[str], classes: Sequence[str]) -> None:
    for at, name in enumerate(names):
        if name not in classes:
            quote = " (put names like 007 in quotes)" if name.isdigit() else ""
            raise UserError(
                f"{key}: the source has no class {name!r}; {did_you_mean(name, classes)}{quote}"
            )
        if name in names[:at]:
            raise UserError(f"{key}: class {name!r} is named twice; name it once")
