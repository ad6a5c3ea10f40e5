"""Out-of-distribution detection, so that an unrecognizable image is not counted as a class.

A classifier predicts a class even for unrecognizable images. But these pass through its layers
unlike any real image does. Two kinds of distance see that: for early layers, summed up channel by
channel, the Mahalanobis distance from real images (Lee et al. 2018, arXiv:1807.03888, but without
classes: half a dog and half a cat is valid); for the last one the distance to the nearest real
images (Sun et al. 2022, arXiv:2204.06507).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.covariance import LedoitWolf
from torch import Tensor

SMALLEST = 1e-3
"""Added before logarithms are taken: a silent channel is far away, not infinitely so."""
BANK, NEIGHBOURS = 4000, 10
"""Real images whose features are kept; the distance is to the tenth nearest of them."""


def signature(activations: Tensor) -> Tensor:
    """Log mean size, spread and active share of each channel: [N, C, H, W] => float64[N, 3 C]."""
    size = activations.abs().mean((2, 3))
    spread = activations.std((2, 3), correction=0)
    active = (activations > SMALLEST).float().mean((2, 3))
    return torch.cat([size, spread, active], 1).double().add(SMALLEST).log().cpu()


@dataclass(frozen=True)
class Activations:
    """A network's activations for N images.

    Attributes:
        features: float32[N, D] of the last layer before the class scores.
        signatures: one float64[N, D'] for each watched layer.
    """

    features: Tensor
    signatures: Sequence[Tensor]


@dataclass(frozen=True)
class OutOfDistribution:
    """Statistics of real images at L watched layers and at the last one.

    Attributes:
        means: L tensors float64[D'], mean signature of real images.
        whitenings: L tensors float64[D', D']; a signature less its mean, times this, has unit
            covariance over real images (Ledoit & Wolf 2004, shrunk).
        bank: float32[B, D], features of real images, of unit length.
        levels: float64[L + 1, 2], mean and standard deviation of the log distances of held-out
            images.
        threshold: an image is unrecognized above this atypicality.
    """

    means: Sequence[Tensor]
    whitenings: Sequence[Tensor]
    bank: Tensor
    levels: Tensor
    threshold: float

    @classmethod
    def learn(cls, real: Activations, held_out: Activations, reject: float) -> OutOfDistribution:
        """Learn what is usual.

        Args:
            real: N images, in random order.
            held_out: others, on which the threshold is set.
            reject: share of the held-out images that lie above the threshold.
        """
        means = [layer.mean(0) for layer in real.signatures]
        whitenings = [
            torch.linalg.cholesky(_precision(layer - mean))
            for layer, mean in zip(real.signatures, means, strict=True)
        ]
        bank = F.normalize(real.features[:BANK], dim=1)
        unscaled = torch.tensor([[0.0, 1.0]] * (len(means) + 1), dtype=torch.float64)
        far = cls(means, whitenings, bank, unscaled, 0)._logs(held_out)
        spread = far.std(0, correction=0).clamp(min=SMALLEST)
        levels = torch.stack([far.mean(0), spread], 1)
        scored = cls(means, whitenings, bank, levels, 0).atypicality(held_out)
        # The next order statistic: of M exchangeable images, a further one lies above it with
        # probability at most `reject`.
        rank = min(len(scored), int((1 - reject) * (len(scored) + 1)) + 1)
        return cls(means, whitenings, bank, levels, float(scored.sort().values[rank - 1]))

    def atypicality(self, seen: Activations) -> Tensor:
        """Soft minimum of the standardized log distances z, -2 log mean exp(-z/2): float64[N].

        Noise is far off in texture, in shape and in meaning. An image that is odd in one of them
        alone, such as a dog in slightly wrong colors, can still be named.
        """
        z = (self._logs(seen) - self.levels[:, 0]) / self.levels[:, 1]
        return 2 * (math.log(z.shape[1]) - (-z / 2).logsumexp(1))

    def _logs(self, seen: Activations) -> Tensor:
        """Log distance at each layer: float64[N, L + 1]."""
        layers = zip(seen.signatures, self.means, self.whitenings, strict=True)
        distances = [((layer - mean) @ white).norm(dim=1) for layer, mean, white in layers]
        between = torch.cdist(F.normalize(seen.features, dim=1), self.bank)
        rank = min(NEIGHBOURS, len(self.bank))
        distances.append(between.kthvalue(rank, dim=1).values.double())
        return torch.stack(distances, 1).clamp(min=SMALLEST).log()

    def state(self) -> dict[str, Tensor]:
        """Everything as named tensors."""
        return {
            "bank": self.bank,
            "levels": self.levels,
            "threshold": torch.tensor(self.threshold, dtype=torch.float64),
            **{f"means.{i}": mean for i, mean in enumerate(self.means)},
            **{f"whitenings.{i}": white for i, white in enumerate(self.whitenings)},
        }

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> OutOfDistribution:
        """Restores the object whose `state` was saved."""
        layers = range(len(state["levels"]) - 1)
        return cls(
            [state[f"means.{i}"] for i in layers],
            [state[f"whitenings.{i}"] for i in layers],
            state["bank"],
            state["levels"],
            float(state["threshold"]),
        )


def _precision(centred: Tensor) -> Tensor:
    return torch.from_numpy(LedoitWolf(assume_centered=True).fit(centred.numpy()).precision_)
