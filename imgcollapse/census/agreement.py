"""How often an oracle names samples as people do.

On samples, not on real images: so it holds where a generator's images are unlike the real ones that
the oracle's own record is of. It is an estimate for a generation only if the images that people
looked at are a random sample of it; those that the oracle doubts most are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.census.prevalence import wilson
from imgcollapse.core.images import UNKNOWN


@dataclass(frozen=True)
class Agreement:
    """People against the oracle over n images.

    Attributes:
        confusion: int64[K + 1, K + 1] counts; rows are what people say, columns what the oracle
            does; the last row is nonsense, the last column unrecognised.
    """

    confusion: Tensor

    @classmethod
    def of(cls, said: Tensor, counted: Tensor, classes: int) -> Agreement:
        """
        Args:
            said: int16[n], each image's class as people see it, `UNKNOWN` for nonsense.
            counted: int16[n], the class the oracle names, `UNKNOWN` if unrecognised.
            classes: K.
        """
        people, oracle = (
            torch.where(x == UNKNOWN, torch.full_like(x, classes), x).long()
            for x in (said, counted)
        )
        cells = torch.bincount(people * (classes + 1) + oracle, minlength=(classes + 1) ** 2)
        return cls(cells.reshape(classes + 1, classes + 1))

    @property
    def n(self) -> int:
        """How many images."""
        return int(self.confusion.sum())

    @property
    def agreed(self) -> int:
        """How many the oracle names as people do, nonsense that it does not recognise included."""
        return int(self.confusion.diagonal().sum())

    @property
    def accuracy(self) -> tuple[float, float, float] | None:
        """Share of images that it names as people do, with Wilson's 95% interval."""
        return _share(self.agreed, self.n)

    def shares(self) -> Iterator[tuple[float, float, float] | None]:
        """Share of each class among the images that people name, with Wilson's 95% interval."""
        counts = self.confusion[:-1].sum(1).tolist()
        return (_share(count, sum(counts)) for count in counts)


def _share(count: int, n: int) -> tuple[float, float, float] | None:
    return (count / n, *wilson(count, n)) if n else None
