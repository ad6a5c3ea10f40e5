"""Filter: keeps one of K samples, chosen with probability proportional to exp(reward).

The choice model is that of Bradley & Terry (1952) and Luce (1959). Retrained on the kept samples, a
generator increases the reward: as K grows, p_{t+1} is proportional to p_t exp(r) (Ferbach et al.
2024, arXiv:2407.09499).
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
from imgcollapse.curation.base import Filter, FilterInput, Scorer, score

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Preference(Filter):
    """Keeps one of K samples at a time; draw K times as many as the regime trains on."""

    kind: Literal["preference"] = "preference"
    among: Annotated[int, Field(ge=2, le=1000)] = 2  # K
    reward: dict[str, Finite] = Field(default_factory=dict)
    """In nats, by class or `(unrecognised)`; 0 for all others."""
    scorer: Scorer = None  # a reward that is added to that of the class

    def keep_fraction(self) -> float:
        """Return 1/K."""
        return 1 / self.among

    def check(self, classes: Sequence[str]) -> None:
        """Check that every name with a reward is a class."""
        names = (*classes, UNRECOGNIZED)
        if unknown := sorted(set(self.reward) - set(names)):
            raise UserError(
                f"curation.reward: {unknown[0]!r} is not a class; use one of {', '.join(names)}"
            )

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep one of each K consecutive samples; fewer than K at the end are dropped."""
        n = len(inputs) // self.among * self.among
        order = torch.arange(n).view(-1, self.among)
        rewards = self._rewards(inputs)[:n].reshape(order.shape)
        chosen = torch.from_numpy(choose(rewards, seed))
        return inputs.select(order.gather(1, chosen[:, None]).flatten())

    def _rewards(self, inputs: FilterInput) -> NDArray[np.float64]:
        names = (*inputs.classes, UNRECOGNIZED)  # `UNKNOWN` is -1, the last of them
        by_class = np.array([self.reward.get(name, 0.0) for name in names])[inputs.counted.numpy()]
        return by_class + score(self.scorer, inputs.images.pixels) if self.scorer else by_class


def choose(rewards: NDArray[np.float64], seed: Seed) -> NDArray[np.int64]:
    """Choose one of K columns in each row: i with probability exp(r_i) / sum_j exp(r_j).

    float64[n, K] rewards in nats => int64[n]. The index of the largest r_i + G_i, with independent
    standard Gumbel noise G_i, has this distribution (Luce & Suppes 1965), and no exponential can
    overflow. K = 2 is a Bradley-Terry comparison.

    Raises:
        UserError: there are no columns, or a reward is not finite.
    """
    if rewards.ndim != 2 or not rewards.shape[1]:
        raise UserError(f"rewards: have shape {rewards.shape}; give n rows of K >= 1 columns")
    if not np.isfinite(rewards).all():
        raise UserError("rewards: some are not finite; leave those samples out")
    return (rewards + seed.numpy().gumbel(size=rewards.shape)).argmax(axis=1)
