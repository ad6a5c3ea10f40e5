"""The random numbers of a batch, however the batch is divided."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from imgcollapse.core.seeds import Seed

WHOLE = slice(None)

Law = Callable[..., Tensor]


class BatchRNG:
    """Random numbers for every image of a batch, of which a part is seen.

    They are always drawn for the whole batch. So each image meets the same numbers whether the
    batch is shown at once, in micro-batches one after another, or to several processes; each part
    has `Draws` of its own under the same seed, and takes from them in the same order.
    """

    def __init__(
        self, seed: Seed, batch: int, device: torch.device | str = "cpu", part: slice = WHOLE
    ) -> None:
        """
        Args:
            seed: names the draws of this batch.
            batch: B, images of the whole batch.
            device: where the numbers are drawn; others give other bits.
            part: the b rows of the batch that are seen.
        """
        self.batch, self.part = batch, part
        self.device = torch.device(device)
        self._source = seed.torch(self.device)

    def integers(self, end: int) -> Tensor:
        """One of 0 .. end - 1 for each image: int64[b]."""
        return self._drawn(partial(torch.randint, end), (), torch.int64)[self.part]

    def uniform(self) -> Tensor:
        """A number from [0, 1) for each image: float32[b]."""
        return self._drawn(torch.rand, (), torch.float32)[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of a `shape` for each image: float32[b, *shape]."""
        return self._drawn(torch.randn, shape, torch.float32)[self.part]

    def _drawn(self, law: Law, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        size = (self.batch, *shape)
        return law(size, generator=self._source, device=self.device, dtype=dtype)


class ReplayedBatchRNG(BatchRNG):
    """The draws of step after step, which all take the same ones, always in the same memory.

    The first step allocates it.
    """

    def __init__(self, seed: Seed, batch: int, device: torch.device | str = "cpu") -> None:
        """
        Args:
            seed: names the draws of the first step.
            batch: B, images of a batch.
            device: where the numbers are drawn.
        """
        super().__init__(seed, batch, device)
        self._taken: list[tuple[Law, Tensor]] = []
        self._next = 0

    def rewind(self) -> None:
        """The same numbers once more."""
        self._next = 0

    def reseed(self, seed: Seed) -> None:
        """The numbers of another step: those that `Draws` has under this seed."""
        source = seed.torch(self.device)
        for law, numbers in self._taken:
            law(numbers.shape, generator=source, out=numbers)
        self.rewind()

    def _drawn(self, law: Law, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._next == len(self._taken):
            self._taken.append((law, super()._drawn(law, shape, dtype)))
        self._next += 1
        return self._taken[self._next - 1][1]
