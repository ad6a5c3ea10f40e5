"""Out-of-distribution detection, so that an unrecognizable image is not counted as a class.

A classifier predicts a class even for unrecognizable images. But these pass through its layers
unlike any real image does. Two kinds of distance see that: for early layers, summed up channel by
channel, the Mahalanobis distance from real images (Lee et al. 2018, arXiv:1807.03888, but without
classes: half a dog and half a cat is valid); for the last one the distance to the nearest real
images (Sun et al. 2022, arXiv:2204.06507). A network that has seen few images may take noise for
one of them: so statistics of the pixels themselves, which are known from few, have a say too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.covariance import LedoitWolf
from torch import Tensor

from imgcollapse.core.seeds import Seed

SMALLEST = 1e-3
"""Added before logarithms are taken: a silent channel is far away, not infinitely so."""
BANK, NEIGHBOURS = 4000, 10
"""Real images whose features are kept; the distance is to the tenth nearest of them."""
TEXTURE_LIMIT, NEAR, SCALES = 4.2, 0.9, 3
"""Standard deviations beyond which pixels alone may be unlike an image's: hardly a real image is.
Nonsense begins at this part of the way to the nearest of noise and constants."""


def signature(activations: Tensor) -> Tensor:
    """Log mean size, spread and active share of each channel: [N, C, H, W] => float64[N, 3 C]."""
    size = activations.abs().mean((2, 3))
    spread = activations.std((2, 3), correction=0)
    active = (activations > SMALLEST).float().mean((2, 3))
    return torch.cat([size, spread, active], 1).double().add(SMALLEST).log().cpu()


def texture(pixels: Tensor) -> Tensor:
    """Log mean and spread of gray levels, and of their steps at three scales: float64[N, D'']."""
    x = pixels.float().cpu()
    found = [x.mean((1, 2, 3)), x.std((1, 2, 3), correction=0)]
    for _ in range(SCALES):
        if min(x.shape[-2:]) < 4:
            break
        steps = [x.diff(dim=dim).abs() for dim in (-1, -2)]
        found.append(torch.stack([step.mean((1, 2, 3)) for step in steps]).mean(0))
        found.append(torch.stack([step.std((1, 2, 3)) for step in steps]).mean(0))
        x = F.avg_pool2d(x, 2)
    return torch.stack(found, 1).double().log1p()


def nonsense(shape: Sequence[int]) -> Tensor:
    """Uniform noise and constant images of every eighth gray level: uint8[64, C, H, W]."""
    noise = torch.randint(0, 256, (32, *shape), generator=Seed(("nonsense",)).torch())
    gray = torch.arange(0, 256, 8)[:, None, None, None].expand(-1, *shape)
    return torch.cat([noise, gray]).byte()


@dataclass(frozen=True)
class Activations:
    """A network's activations for N images.

    Attributes:
        texture: float64[N, D''], of the pixels.
        features: float32[N, D] of the last layer before the class scores.
        signatures: one float64[N, D'] for each watched layer.
    """

    texture: Tensor
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
        pixels: the mean texture of real images, its whitening, and of the log distances mean,
            standard deviation and the limit of nonsense; None in oracles of earlier versions.
    """

    means: Sequence[Tensor]
    whitenings: Sequence[Tensor]
    bank: Tensor
    levels: Tensor
    threshold: float
    pixels: tuple[Tensor, Tensor, Tensor] | None = None

    @classmethod
    def learn(
        cls, real: Activations, held_out: Activations, reject: float, shape: Sequence[int]
    ) -> OutOfDistribution:
        """Learn what is usual.

        Args:
            real: N images, in random order.
            held_out: others, on which the threshold is set.
            reject: share of the held-out images that lie above the threshold.
            shape: C, H and W of the images.
        """
        means = [layer.mean(0) for layer in real.signatures]
        whitenings = [
            torch.linalg.cholesky(_precision(layer - mean))
            for layer, mean in zip(real.signatures, means, strict=True)
        ]
        bank = F.normalize(real.features[:BANK], dim=1)
        # The network has no part in these: the images it was trained on are as good as others.
        textures = torch.cat([real.texture, held_out.texture])
        center = textures.mean(0)
        covariance = textures.T.cov() + 1e-4 * torch.eye(textures.shape[1], dtype=torch.float64)
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
        usual = _log_distance(textures, center, whitening)
        mean, spread = usual.mean(), usual.std(correction=0).clamp(min=SMALLEST)
        beyond = (_log_distance(texture(nonsense(shape)), center, whitening).min() - mean) / spread
        pixels = (
            center,
            whitening,
            torch.stack([mean, spread, (NEAR * beyond).clamp(TEXTURE_LIMIT)]),
        )
        unscaled = torch.tensor([[0.0, 1.0]] * (len(means) + 1), dtype=torch.float64)
        far = cls(means, whitenings, bank, unscaled, 0)._logs(held_out)
        spread = far.std(0, correction=0).clamp(min=SMALLEST)
        levels = torch.stack([far.mean(0), spread], 1)
        scored = cls(means, whitenings, bank, levels, 0, pixels).atypicality(held_out)
        # The next order statistic: of M exchangeable images, a further one lies above it with
        # probability at most `reject`.
        rank = min(len(scored), int((1 - reject) * (len(scored) + 1)) + 1)
        return cls(means, whitenings, bank, levels, float(scored.sort().values[rank - 1]), pixels)

    def atypicality(self, seen: Activations) -> Tensor:
        """Soft minimum of the standardized log distances z, -2 log mean exp(-z/2): float64[N].

        Noise is far off in texture, in shape and in meaning. An image that is odd in one of them
        alone, such as a dog in slightly wrong colors, can still be named; one whose pixels are as
        far off as those of noise cannot.
        """
        z = (self._logs(seen) - self.levels[:, 0]) / self.levels[:, 1]
        soft = 2 * (math.log(z.shape[1]) - (-z / 2).logsumexp(1))
        if self.pixels is None:
            return soft
        center, whitening, (usual, spread, limit) = self.pixels
        far = (_log_distance(seen.texture, center, whitening) - usual) / spread
        return torch.where(far > limit, torch.maximum(soft, far), soft)

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
        names = ("texture.mean", "texture.whitening", "texture.level")
        return dict(zip(names, self.pixels or (), strict=False)) | {
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
            (state["texture.mean"], state["texture.whitening"], state["texture.level"])
            if "texture.mean" in state
            else None,
        )


def _log_distance(rows: Tensor, center: Tensor, whitening: Tensor) -> Tensor:
    return ((rows - center) @ whitening).norm(dim=1).clamp(min=SMALLEST).log()


def _precision(centred: Tensor) -> Tensor:
    return torch.from_numpy(LedoitWolf(assume_centered=True).fit(centred.numpy()).precision_)
