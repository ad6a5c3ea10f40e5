"""The random numbers of a batch, however the batch is divided."""

from __future__ import annotations

import torch
from torch import Tensor

from imgcollapse.core.seeds import Seed

WHOLE = slice(None)


class Draws:
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

    def below(self, end: int) -> Tensor:
        """One of 0 .. end - 1 for each image: int64[b]."""
        drawn = torch.randint(
            end, (self.batch,), generator=self._source, device=self.device, dtype=torch.int64
        )
        return drawn[self.part]

    def uniform(self) -> Tensor:
        """A number from [0, 1) for each image: float32[b]."""
        return torch.rand(self.batch, generator=self._source, device=self.device)[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of a `shape` for each image: float32[b, *shape]."""
        drawn = torch.randn(self.batch, *shape, generator=self._source, device=self.device)
        return drawn[self.part]
