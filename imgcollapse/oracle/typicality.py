"""Whether an image is like real ones at all, so that mush is never counted as a class.

A classifier must name something, and names mush with confidence. But mush passes through its layers
unlike any real image does: every watched layer is summed up in two numbers a channel, and their
Mahalanobis distance from what real images gave says how far off an image is (Lee et al. 2018,
arXiv:1807.03888, without classes: half a dog and half a cat is no mush).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

SMALLEST = 1e-3
"""Added before logarithms are taken, so that a channel that is silent is far away, not infinitely."""


def signature(activations: Tensor) -> Tensor:
    """Log mean size and log spread of each channel: [N, C, H, W] => float64[N, 2 C]."""
    size = activations.abs().mean((2, 3))
    spread = activations.std((2, 3), correction=0)
    return torch.cat([size, spread], 1).double().add(SMALLEST).log().cpu()


@dataclass(frozen=True)
class Typicality:
    """What is usual at L watched layers.

    Attributes:
        means: L tensors float64[D], mean signature of real images.
        whitenings: L tensors float64[D, D]; a signature less its mean, times this, has unit
            covariance over real images (Ledoit & Wolf 2004, shrunk).
        levels: float64[L, 2], mean and standard deviation of the log distance of held-out images.
        threshold: an image is unrecognised above this atypicality.
    """

    means: Sequence[Tensor]
    whitenings: Sequence[Tensor]
    levels: Tensor
    threshold: float

    @classmethod
    def learn(cls, real: Sequence[Tensor], held_out: Sequence[Tensor], reject: float) -> Typicality:
        """Learn what is usual.

        Args:
            real: L signatures float64[N, D] of real images.
            held_out: L signatures float64[M, D] of others, on which the threshold is set.
            reject: share of the held-out images that lie above the threshold.
        """
        means = [layer.mean(0) for layer in real]
        whitenings = [
            torch.from_numpy(
                LedoitWolf(assume_centered=True, store_precision=True)
                .fit((layer - mean).numpy())
                .precision_
            )
            for layer, mean in zip(real, means, strict=True)
        ]
        whitenings = [torch.linalg.cholesky(precision) for precision in whitenings]
        far = cls(means, whitenings, torch.tensor([[0.0, 1.0]] * len(means)), 0)._logs(held_out)
        spread = far.std(0, correction=0).clamp(min=SMALLEST)
        levels = torch.stack([far.mean(0), spread], 1)
        scored = cls(means, whitenings, levels, 0).atypicality(held_out)
        # The next order statistic: of M exchangeable images, a further one lies above it with
        # probability at most `reject`.
        rank = min(len(scored), int((1 - reject) * (len(scored) + 1)) + 1)
        return cls(means, whitenings, levels, float(scored.sort().values[rank - 1]))

    def atypicality(self, signatures: Sequence[Tensor]) -> Tensor:
        """Mean over the layers of the standardised log distance: float64[N]."""
        return ((self._logs(signatures) - self.levels[:, 0]) / self.levels[:, 1]).mean(1)

    def _logs(self, signatures: Sequence[Tensor]) -> Tensor:
        """Log Mahalanobis distance at each layer: float64[N, L]."""
        layers = zip(signatures, self.means, self.whitenings, strict=True)
        squares = [((seen - mean) @ white).square().sum(1) for seen, mean, white in layers]
        return torch.stack(squares, 1).clamp(min=SMALLEST).log() / 2

    def state(self) -> dict[str, Tensor]:
        """Everything as named tensors."""
        return {
            "levels": self.levels,
            "threshold": torch.tensor(self.threshold, dtype=torch.float64),
            **{f"means.{i}": mean for i, mean in enumerate(self.means)},
            **{f"whitenings.{i}": white for i, white in enumerate(self.whitenings)},
        }

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Typicality:
        """What `state` was saved of."""
        layers = range(len(state["levels"]))
        return cls(
            [state[f"means.{i}"] for i in layers],
            [state[f"whitenings.{i}"] for i in layers],
            state["levels"],
            float(state["threshold"]),
        )
