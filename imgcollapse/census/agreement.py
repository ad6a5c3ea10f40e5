"""Agreement of the oracle with people, on samples.

It holds where a generator's images are unlike the held-out real ones that the oracle's accuracy was
measured on. It is an estimate for a generation only if the images that people looked at are a
random sample of it; those that the oracle is least certain of are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, wilson_interval
from imgcollapse.core.images import UNKNOWN

Share = tuple[float, float, float]
"""A share and the ends of its 95% interval."""


@dataclass(frozen=True)
class Agreement:
    """People against the oracle over n images.

    Attributes:
        confusion: int64[K + 1, K + 1] counts; rows are the classes people name, columns those the
            oracle predicts; the last row is nonsense, the last column unrecognized.
    """

    confusion: Tensor

    @classmethod
    def of(cls, said: Tensor, counted: Tensor, classes: int) -> Agreement:
        """Counts the images of each pair of classes.

        Args:
            said: int16[n], each image's class as people see it, `UNKNOWN` for nonsense.
            counted: int16[n], the class the oracle predicts, `UNKNOWN` if unrecognized.
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
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def agreed(self) -> int:
        """Number of images on which both agree, nonsense that is unrecognized included."""
        return int(self.confusion.diagonal().sum())

    @property
    def accuracy(self) -> Share | None:
        """Share of images that it classifies as people do, with Wilson's 95% interval."""
        return _share(self.agreed, self.n)

    def shares(self) -> Iterator[Share | None]:
        """Share of each class among the images that people name, with Wilson's 95% interval."""
        counts = self.confusion[:-1].sum(1).tolist()
        return (_share(count, sum(counts)) for count in counts)


def _share(count: int, n: int) -> Share | None:
    share = wilson_interval(count, n) if n else Estimate(None)
    if share.value is None or share.low is None or share.high is None:
        return None
    return share.value, share.low, share.high
