"""What becomes of images that a detector has found: removed, or kept with less weight."""

from __future__ import annotations

import torch
from torch import Tensor

from imgcollapse.core.seeds import Seed


def thin(found: Tensor, weight: float, seed: Seed) -> Tensor:
    """Positions that stay: what was not found, and each found image with probability `weight`.

    Args:
        found: bool[N].
        weight: in [0, 1].
        seed: names the draws.

    Returns:
        int64[M], in order.
    """
    lucky = torch.rand(len(found), generator=(seed / "spared").torch()) < weight
    return (~found | lucky).nonzero().flatten()
