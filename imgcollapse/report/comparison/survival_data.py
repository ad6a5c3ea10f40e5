"""How long rare classes live in each arm, and whether two arms lose them at one pace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgcollapse.drift import LogRank, SurvivalCurve, log_rank, survival_curve
from imgcollapse.report.comparison.aligned_runs import Arm, Arms


@dataclass(frozen=True)
class SurvivalData:
    """Of one arm, the lives of each rare class in each lineage.

    Attributes:
        times: int64[L R], the generation in which the class was first called extinct, or the last.
        died: bool[L R], whether it was.
    """

    times: NDArray[np.int64]
    lost: NDArray[np.bool_]

    @classmethod
    def from_arm(cls, arm: Arm, rare: tuple[int, ...], last: int) -> SurvivalData:
        """Read them; those that were never called extinct are censored in generation `last`."""
        extinct = arm.counts.extinct[:, : last + 1, list(rare)].transpose(0, 2, 1)
        died = extinct.any(axis=2)
        times = np.where(died, extinct.argmax(axis=2), last)
        return cls(times.ravel(), died.ravel())

    def curve(self) -> SurvivalCurve:
        """Kaplan-Meier."""
        return survival_curve(self.times, self.lost)

    def against(self, baseline: SurvivalData) -> LogRank:
        """Log-rank test; negative where these live longer than the baseline's."""
        return log_rank(self.times, self.lost, baseline.times, baseline.lost)


def survival_data(arms: Arms) -> list[SurvivalData]:
    """Of every arm."""
    return [SurvivalData.from_arm(arm, arms.rare, arms.last) for arm in arms.all]
