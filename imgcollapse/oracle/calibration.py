"""Making a network's probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    """Bias-corrected temperature scaling: p = softmax(scale · scores + bias).

    Alexandari et al. 2020, arXiv:1901.06852, section 3: what expectation-maximization of class
    shares needs, because it corrects each class's mean probability too.

    Attributes:
        scale: one over the temperature.
        bias: float64[K].
    """

    scale: float
    bias: Tensor

    def probabilities(self, scores: Tensor) -> Tensor:
        """[N, K] class scores => float32[N, K] that sum to 1."""
        return (self.scale * scores.double() + self.bias).softmax(1).float()


def calibrate(scores: Tensor, labels: Tensor) -> Calibration:
    """The most probable calibration of [M, K] scores of held-out images, int16[M] their classes.

    log(scale) and each bias have a standard normal prior: without one the scale would be infinite
    for an oracle that makes no mistake.
    """
    scores, truth = scores.double(), labels.long()
    parameters = torch.zeros(1 + scores.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = parameters[0].exp() * scores + parameters[1:]
        loss = F.cross_entropy(scaled, truth, reduction="sum") + parameters.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    best = parameters.detach()
    return Calibration(float(best[0].exp()), best[1:] - best[1:].mean())
