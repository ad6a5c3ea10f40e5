"""The best of K, as a person with a reward in mind would pick it.

K candidates are shown and one is kept, by the choice model of Bradley & Terry (1952) and Luce
(1959). Retrained on what is kept, a generator climbs the reward: as K grows, p_{t+1} is
proportional to p_t exp(r) (Ferbach et al. 2024, arXiv:2407.09499).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNRECOGNIZED
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.curation.scorer import Scorer, scores

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Preference(Filter):
    """Shows K candidates at a time and keeps the one that is chosen.

    Attributes:
        among: K; draw K times as many samples as the regime trains on.
        reward: in nats, by class name or `(unrecognised)`; what is not named has none, 0.
        scorer: an import path `module:function` that says the reward of uint8[N, C, H, W] images,
            float[N]; it is added to that of the class.
    """

    kind: Literal["preference"] = "preference"
    among: Annotated[int, Field(ge=2, le=1000)] = 2
    reward: dict[str, Finite] = Field(default_factory=dict)
    scorer: Scorer = None

    def keep_fraction(self) -> float:
        """1/K."""
        return 1 / self.among

    def check(self, classes: Sequence[str]) -> None:
        """See that there is a class of each name that has a reward."""
        names = (*classes, UNRECOGNIZED)
        if unknown := sorted(set(self.reward) - set(names)):
            raise UserError(
                f"curation.reward: {unknown[0]!r} is no class; name one of {', '.join(names)}"
            )

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """One of each K candidates in a row; fewer than K at the end are not shown."""
        shown = len(seen) // self.among * self.among
        order = torch.arange(shown).view(-1, self.among)
        rewards = self._rewards(seen)[:shown].reshape(order.shape)
        won = torch.from_numpy(choose(rewards, seed))
        return seen.select(order.gather(1, won[:, None]).flatten())

    def _rewards(self, seen: FilterInput) -> NDArray[np.float64]:
        names = (*seen.classes, UNRECOGNIZED)  # `UNKNOWN` is -1: the last of them
        by_class = np.array([self.reward.get(name, 0.0) for name in names])[seen.counted.numpy()]
        return by_class + scores(self.scorer, seen.images.pixels) if self.scorer else by_class


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
