"""Settings and images that all parts of a bench share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits, PaperDogs
from imgcollapse.tools.bench.timing import matmul_peak

Size = Literal["smoke", "small", "real", "gpu"]
"""Seconds, to test the program; a minute or two; as promised, on two cores; on a GPU."""

MAX_DOGS = 4096
"""Different dogs at most; more images repeat them, for drawing takes a while."""


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a bench.

    Attributes:
        size: of the work.
        repeats: pairs of every comparison.
        device: as this program would choose it for a study.
        seed: of every draw.
        log: is called with lines for the user.
    """

    size: Size
    repeats: int
    device: Device
    seed: Seed = field(default_factory=lambda: Seed(("bench",)))
    log: Callable[[str], Any] = print
    peaks: dict[str, float] = field(default_factory=dict)

    def peak(self, dtype: torch.dtype | None = None) -> float:
        """FLOP/s of the machine's fastest product in a type, by default the device's.

        Measured once for each type, and kept in `peaks` by the type's name.
        """
        dtype = dtype or self.device.dtype
        name = str(dtype).removeprefix("torch.")
        if name not in self.peaks:
            seconds = 0.05 if self.size == "smoke" else 1.0
            self.peaks[name] = matmul_peak(self.device.torch, dtype, seconds)
        return self.peaks[name]

    def promised(self, limit: float) -> float | None:
        """Returns the limit at the sizes at which it is promised, else None."""
        return limit if self.size in ("real", "gpu") else None

    @property
    def precision(self) -> str:
        """Name of the device's number type."""
        return str(self.device.dtype).removeprefix("torch.")


def dogs(n: int, size: int, gray: bool = False, held_out: bool = False) -> Images:
    """Returns n paper dogs of `size` pixels, in gray if asked; `held_out` are other ones."""
    source = PaperDogs(size=size).load()
    images = source.test if held_out and source.test else source.train
    rows = torch.arange(min(n, MAX_DOGS))
    pixels, repeated = images.read(rows), torch.arange(n) % len(rows)
    if gray:
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    return Images(pixels[repeated], images.labels[rows][repeated])


def digits(n: int, held_out: bool = False) -> Images:
    """Returns n digits of 8 pixels, repeated where n is more; a fifth of them is held out."""
    images = Digits().load().train
    rows = torch.arange(len(images.labels))
    rows = rows[(rows % 5 == 0) == held_out]
    rows = rows[torch.arange(n) % len(rows)]
    return Images(images.read(rows), images.labels[rows])
