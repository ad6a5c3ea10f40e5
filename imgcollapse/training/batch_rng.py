"""The random numbers of a batch, the same however the batch is divided."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from imgcollapse.core.seeds import Seed

WHOLE = slice(None)

Distribution = Callable[..., Tensor]


class BatchRNG:
    """Draws random numbers for every image of a batch, and returns those of some of its rows.

    Numbers are always drawn for the whole batch. So each image has the same ones whether the batch
    is shown at once, in micro-batches, or to several processes; each part has a `BatchRNG` of its
    own under the same seed, and draws from it in the same order.

    >>> whole = BatchRNG(Seed((0,)), 4).uniform()
    >>> torch.equal(BatchRNG(Seed((0,)), 4, part=slice(2, 4)).uniform(), whole[2:])
    True
    """

    def __init__(
        self, seed: Seed, batch: int, device: torch.device | str = "cpu", part: slice = WHOLE
    ) -> None:
        """Draws what `seed` names on a device, where other bits come; returns the rows `part`."""
        self.batch, self.part = batch, part
        self.device = torch.device(device)
        self._source = seed.torch(self.device)

    def integers(self, end: int) -> Tensor:
        """Returns one of 0 .. end - 1 for each image: int64[b]."""
        return self._draw(partial(torch.randint, end), (self.batch,), torch.int64)[self.part]

    def uniform(self) -> Tensor:
        """Returns a number from [0, 1) for each image: float32[b]."""
        return self._draw(torch.rand, (self.batch,), torch.float32)[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Returns standard normal numbers for each image: float32[b, *shape]."""
        return self._draw(torch.randn, (self.batch, *shape), torch.float32)[self.part]

    def shared_integers(self, end: int, count: int) -> list[int]:
        """Returns `count` numbers of 0 .. end - 1 that all images of the batch share."""
        return self._draw(partial(torch.randint, end), (count,), torch.int64).tolist()

    def _draw(self, law: Distribution, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return law(size, generator=self._source, device=self.device, dtype=dtype)


class ReplayedBatchRNG(BatchRNG):
    """Draws step after step the same sequence of shapes, into memory that the first allocates."""

    def __init__(self, seed: Seed, batch: int, device: torch.device | str = "cpu") -> None:
        """`seed` names the draws of the first step."""
        super().__init__(seed, batch, device)
        self._drawn: list[tuple[Distribution, Tensor]] = []
        self._next = 0

    def rewind(self) -> None:
        """Returns to the first draw: the same numbers come once more."""
        self._next = 0

    def reseed(self, seed: Seed) -> None:
        """Draws the numbers of another step: those of `BatchRNG` under this seed."""
        source = seed.torch(self.device)
        for law, numbers in self._drawn:
            law(numbers.shape, generator=source, out=numbers)
        self.rewind()

    def _draw(self, law: Distribution, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._next == len(self._drawn):
            self._drawn.append((law, super()._draw(law, size, dtype)))
        self._next += 1
        return self._drawn[self._next - 1][1]
