"""How far a generation is from real images: Fréchet and kernel distance on oracle features.

Fréchet distance is biased upward as n falls, so every value is taken at equal n on both sides and
stands beside its floor: the distance between two disjoint sets of real images of that size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from imgcollapse.core.seeds import Seed

COLUMNS = ("generation", "class", "metric", "value", "low", "high", "n", "reference_n")
SPLITS = 20
"""Random halvings of the real images that a floor is taken from."""


class _Features(nn.Identity):
    """Tells torchmetrics that what it is given are features already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width


def fid(real: Tensor, generated: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to float[N, D] and float[M, D] features.

    Heusel et al. 2017, arXiv:1706.08500, equation 6.
    """
    metric = FrechetInceptionDistance(feature=_Features(real.shape[1])).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kid(real: Tensor, generated: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of float[N, D] and float[M, D] features.

    The kernel is (x·y / D + 1)^3: Bińkowski et al. 2018, arXiv:1801.01401, section 4.
    """
    return float(poly_mmd(real.double(), generated.double()))


METRICS: dict[str, tuple[Callable[[Tensor, Tensor], float], Callable[[int], int]]] = {
    # Below this many images a value says nothing: a covariance of D features needs more than D.
    "fid": (fid, lambda width: width + 1),
    "kid": (kid, lambda width: 20),
}


@dataclass(frozen=True)
class RealSide:
    """What generations are compared with, computed once for a study.

    Attributes:
        features: float32[M, D] of the held-out reference, in random order.
        labels: int16[M].
        spare: float32[L, D] of other real images, such as the training set; with the reference
            they make up the floors.
        spare_labels: int16[L].
        seed: names the floors' random halvings.
    """

    features: Tensor
    labels: Tensor
    spare: Tensor
    spare_labels: Tensor
    seed: Seed
    _floors: dict[tuple[str, int | None, int], dict[str, Any]] = field(default_factory=dict)

    def distances(
        self, generation: int, features: Tensor, counted: Tensor, classes: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """FID and KID of one generation, for all and for each class, each beside its floor.

        Every distance is between n generated and n reference images, n being the smallest of the
        two sets and the spare one: so there are always the 2 n real images that a floor takes, and
        n for all classes together is the same in every generation.

        Args:
            generation: its number.
            features: float32[N, D] of the samples.
            counted: int16[N], the class the oracle names, or -1.
            classes: K names.

        Yields:
            Rows with the keys `COLUMNS`; a metric that has too few images yields none.
        """
        for label, name in [(None, ""), *enumerate(classes)]:
            real = _of(label, self.features, self.labels)
            generated = _of(label, features, counted)
            n = min(len(real), len(generated), len(_of(label, self.spare, self.spare_labels)))
            for metric, (distance, needed) in METRICS.items():
                if n < needed(features.shape[1]):
                    continue
                row = {"generation": generation, "class": name, "n": n, "reference_n": n}
                value = distance(real[:n], generated[:n])
                yield row | {"metric": metric, "value": value, "low": None, "high": None}
                yield row | {"metric": f"{metric}_floor"} | self.floor(metric, label, n)

    def floor(self, metric: str, label: int | None, n: int) -> dict[str, float]:
        """A metric between two disjoint sets of n real images of a class, or of all.

        Returns:
            Mean, 2.5% and 97.5% points over `SPLITS` halvings as value, low and high.
        """
        real = _of(label, self.features, self.labels)
        pool = torch.cat([real, _of(label, self.spare, self.spare_labels)])
        key = metric, label, n
        if key not in self._floors:
            distance, _ = METRICS[metric]
            values = torch.empty(SPLITS, dtype=torch.float64)
            for split in range(SPLITS):
                draw = (self.seed / metric / str(label) / n / split).torch()
                rows = torch.randperm(len(pool), generator=draw)
                values[split] = distance(pool[rows[:n]], pool[rows[n : 2 * n]])
            low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
            self._floors[key] = {"value": float(values.mean()), "low": low, "high": high}
        return self._floors[key]


def _of(label: int | None, features: Tensor, labels: Tensor) -> Tensor:
    return features if label is None else features[labels == label]
