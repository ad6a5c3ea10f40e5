"""Every random draw has a name, and its seed is a hash of that name.

Nothing about randomness is saved: a draw made again under the same name is the same draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Seed:
    """The name of a random draw: (study seed, lineage, generation, stage, step).

    `seed / "fit" / 3` names a draw below `seed`; `int(seed)` hashes the whole path to 63 bits.
    """

    path: tuple[int | str, ...]

    def __truediv__(self, name: int | str) -> Seed:
        return Seed((*self.path, name))

    def __int__(self) -> int:
        digest = hashlib.sha256("/".join(map(str, self.path)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def torch(self, device: torch.device | str = "cpu") -> torch.Generator:
        """A torch generator for this draw alone."""
        return torch.Generator(device).manual_seed(int(self))

    def numpy(self) -> np.random.Generator:
        """A numpy generator for this draw alone."""
        return np.random.default_rng(int(self))

    @contextmanager
    def seed_torch(self) -> Iterator[None]:
        """Seed torch's global CPU generator inside the block, for code that knows no other."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(self))
            yield
