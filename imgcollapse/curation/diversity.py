"""Keep variety: as many of each class, or images that are far from one another.

Both choose among what the oracle recognises: mush is far from everything, and would always win.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput

Share = Annotated[float, Field(gt=0, le=1)]


class _Chooser(Filter):
    """Keeps a share of the samples, in their own order.

    Attributes:
        keep_share: of all samples drawn; fewer are kept where fewer are recognised.
    """

    keep_share: Share = 0.5

    def keep_fraction(self) -> float:
        """The share to keep."""
        return self.keep_share

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """A choice among the recognised."""
        known = (seen.counted != UNKNOWN).nonzero().flatten()
        wanted = min(int(len(seen) * self.keep_share + 1e-9), len(known))
        chosen = self._choose(seen[known], wanted, seed) if wanted else known[:0]
        return seen.select(known[chosen].sort().values)

    @abstractmethod
    def _choose(self, seen: FilterInput, wanted: int, seed: Seed) -> Tensor:
        """int64[wanted] positions among recognised candidates."""


class Balance(_Chooser):
    """Keeps as many of each class as it can: all of the rare ones, of the common ones some."""

    kind: Literal["balance"] = "balance"

    def _choose(self, seen: FilterInput, wanted: int, seed: Seed) -> Tensor:
        return evenly(seen.counted.long(), wanted, seed)


class Diversity(_Chooser):
    """Keeps images that are far apart in the oracle's feature space.

    Attributes:
        method: "farthest-first" takes, again and again, the image that is farthest from all taken
            (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5); "k-means" takes as many as it can of
            each cluster.
        clusters: of k-means.
    """

    kind: Literal["diversity"] = "diversity"
    method: Literal["farthest-first", "k-means"] = "farthest-first"
    clusters: Annotated[int, Field(ge=2)] = 50

    def _choose(self, seen: FilterInput, wanted: int, seed: Seed) -> Tensor:
        if self.method == "farthest-first":
            return farthest_first(seen.features, wanted)
        features = seen.features.double().numpy()
        clusters = min(self.clusters, len(np.unique(features, axis=0)))
        with threadpool_limits(1):  # several threads add up in the order they happen to end
            named = KMeans(clusters, random_state=int(seed) % 2**32).fit_predict(features)
        return evenly(torch.from_numpy(named).long(), wanted, seed / "lot")


def evenly(groups: Tensor, wanted: int, seed: Seed) -> Tensor:
    """`wanted` images in rounds, by lot one of each group that has any left in every round.

    The lot matters: with the first images of a common group and all those of a rare one, the common
    group would fill the first places of the pool, and a regime takes its first places.

    Args:
        groups: int64[N], the group of each image.
        wanted: at most N.
        seed: names the draw.

    Returns:
        int64[wanted] positions; no group lags two images behind another before it is used up.
    """
    order = torch.randperm(len(groups), generator=seed.torch())
    shuffled, turn = groups[order], torch.zeros_like(groups)
    for group in groups.unique().tolist():
        of_group = shuffled == group
        turn[of_group] = torch.arange(int(of_group.sum()))
    return order[turn.argsort(stable=True)[:wanted]]


def farthest_first(features: Tensor, wanted: int) -> Tensor:
    """Gonzalez's greedy traversal from the first image: float[N, D] => int64[wanted], wanted >= 1.

    The smallest distance between two chosen images is at least half of the largest possible.
    """
    points = features.double().numpy()
    chosen = np.zeros(wanted, dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    for step in range(1, wanted):
        nearest = np.minimum(nearest, _squares(points, chosen[step - 1]))
        nearest[chosen[:step]] = -1  # copies of one image may be chosen, an image but once
        chosen[step] = nearest.argmax()
    return torch.from_numpy(chosen)


def _squares(points: NDArray[np.float64], centre: int) -> NDArray[np.float64]:
    return np.square(points - points[centre]).sum(axis=1)
