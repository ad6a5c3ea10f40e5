"""What all parts of a bench share: where, how big, how often, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed
from imgcollapse.tools.bench.peak import matmul_peak

Size = Literal["smoke", "small", "real", "gpu"]
"""Seconds, to see that it runs; a minute or two; what is promised, on two cores; on a GPU."""


@dataclass(frozen=True)
class BenchSettings:
    """The frame of a bench.

    Attributes:
        size: of the work.
        repeats: pairs of every comparison.
        device: what this program would choose for a study.
        seed: names the draws.
        say: is told a line when there is something to tell.
    """

    size: Size
    repeats: int
    device: Device
    seed: Seed = field(default_factory=lambda: Seed(("bench",)))
    say: Callable[[str], Any] = print
    _peaks: dict[str, float] = field(default_factory=dict)

    def peak(self, dtype: torch.dtype | None = None) -> float:
        """FLOP/s of the machine's fastest product in a type, by default the device's; once."""
        dtype = dtype or self.device.dtype
        name = str(dtype).removeprefix("torch.")
        if name not in self._peaks:
            seconds = 0.05 if self.size == "smoke" else 1.0
            self._peaks[name] = matmul_peak(self.device.torch, dtype, seconds)
        return self._peaks[name]

    def peaks(self) -> dict[str, float]:
        """All that were measured."""
        return dict(self._peaks)

    def promised(self, limit: float) -> float | None:
        """A ratio or a share that is promised at the real sizes alone."""
        return limit if self.size in ("real", "gpu") else None

    @property
    def precision(self) -> str:
        """The type's name."""
        return str(self.device.dtype).removeprefix("torch.")
