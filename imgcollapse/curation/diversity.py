"""Filters that keep variety: equally many samples of each class, or samples far from one another.

Both select among the samples that the oracle recognizes: unrecognizable images are far from all
others and would always be kept.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput

Share = Annotated[float, Field(gt=0, le=1)]


class _VarietyFilter(Filter):
    """Keeps a share of the samples, in their original order."""

    keep_share: Share = 0.5  # of all samples drawn; fewer are kept if fewer are recognized

    def keep_fraction(self) -> float:
        """Return `keep_share`."""
        return self.keep_share

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep a selection of the recognized samples."""
        recognized = (inputs.counted != UNKNOWN).nonzero().flatten()
        wanted = min(int(len(inputs) * self.keep_share + 1e-9), len(recognized))
        chosen = self._choose(inputs[recognized], wanted, seed) if wanted else recognized[:0]
        return inputs.select(recognized[chosen].sort().values)

    @abstractmethod
    def _choose(self, inputs: FilterInput, wanted: int, seed: Seed) -> Tensor:
        """Return int64[wanted] positions among recognized samples."""


class Balance(_VarietyFilter):
    """Keeps equally many samples of each class, or all of a class that has fewer."""

    kind: Literal["balance"] = "balance"

    def _choose(self, inputs: FilterInput, wanted: int, seed: Seed) -> Tensor:
        return evenly(inputs.counted.long(), wanted, seed)


class Diversity(_VarietyFilter):
    """Keeps samples that are far apart in the oracle's feature space.

    "farthest-first" repeatedly takes the sample farthest from all those taken (Gonzalez 1985,
    doi:10.1016/0304-3975(85)90224-5); "k-means" equally many of each cluster as far as possible.
    """

    kind: Literal["diversity"] = "diversity"
    method: Literal["farthest-first", "k-means"] = "farthest-first"
    clusters: Annotated[int, Field(ge=2)] = 50  # of k-means

    def _choose(self, inputs: FilterInput, wanted: int, seed: Seed) -> Tensor:
        if self.method == "farthest-first":
            return farthest_first(inputs.features, wanted)
        features = inputs.features.double().numpy()
        clusters = min(self.clusters, len(np.unique(features, axis=0)))
        with threadpool_limits(1):  # the order of float sums of several threads is not fixed
            assigned = KMeans(clusters, random_state=int(seed) % 2**32).fit_predict(features)
        return evenly(torch.from_numpy(assigned).long(), wanted, seed / "lot")


def evenly(groups: Tensor, wanted: int, seed: Seed) -> Tensor:
    """Select `wanted` images in rounds, a random one of each group int64[N] left: int64[wanted].

    Group sizes differ by at most one unless a group is used up. Random images matter: with the
    first of a common group and all those of a rare one, the common group would fill the first rows
    of the selection, and a regime trains on its first rows.
    """
    order = torch.randperm(len(groups), generator=seed.torch())
    shuffled, turn = groups[order], torch.zeros_like(groups)
    for group in groups.unique().tolist():
        of_group = shuffled == group
        turn[of_group] = torch.arange(int(of_group.sum()))
    return order[turn.argsort(stable=True)[:wanted]]


def farthest_first(features: Tensor, wanted: int) -> Tensor:
    """Select by Gonzalez's greedy traversal: float[N, D] => int64[wanted], wanted >= 1.

    It starts at the first image; the smallest distance between two selected images is at least half
    of the largest possible.
    """
    points = features.double().numpy()
    chosen = np.zeros(wanted, dtype=np.int64)
    nearest = np.full(len(points), np.inf)
    for step in range(1, wanted):
        squares = np.square(points - points[chosen[step - 1]]).sum(axis=1)
        nearest = np.minimum(nearest, squares)
        nearest[chosen[:step]] = -1  # copies of an image may be selected, the same row only once
        chosen[step] = nearest.argmax()
    return torch.from_numpy(chosen)
