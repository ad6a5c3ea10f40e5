"""The best of K, as a person with a reward in mind would pick it.

K candidates are shown and one is kept, by the choice model of Bradley & Terry (1952) and Luce
(1959). Retrained on what is kept, a generator climbs the reward: as K grows, p_{t+1} is
proportional to p_t exp(r) (Ferbach et al. 2024, arXiv:2407.09499).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed


def choose(rewards: NDArray[np.float64], seed: Seed) -> NDArray[np.int64]:
    """Pick one of K candidates in each row: i with probability exp(r_i) / sum_j exp(r_j).

    The largest of r_i + G_i with independent standard Gumbel noise G_i has just that law (Luce &
    Suppes 1965), and no exponential can overflow. Two candidates are a Bradley-Terry comparison.

    Args:
        rewards: float64[n, K], K >= 1, in nats.
        seed: names the draw.

    Returns:
        int64[n], the chosen column of every row.

    Raises:
        UserError: there is nobody to choose from, or a reward is not finite.
    """
    if rewards.ndim != 2 or not rewards.shape[1]:
        raise UserError(
            f"rewards: of shape {rewards.shape} they offer no choice; give n rows of K >= 1 each"
        )
    if not np.isfinite(rewards).all():
        raise UserError("rewards: some are not finite; leave those candidates out of the choice")
    return (rewards + seed.numpy().gumbel(size=rewards.shape)).argmax(axis=1)
