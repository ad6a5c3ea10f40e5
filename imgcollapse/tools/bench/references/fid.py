"""torchmetrics' Fréchet inception distance on a network of one's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance


class Features(nn.Module):
    """A feature extractor as torchmetrics asks for one: it says how long its vectors are."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        self.network, self.num_features = network, width

    def forward(self, images: Tensor) -> Tensor:
        """uint8[N, C, H, W] => float32[N, D]."""
        with torch.no_grad():
            return self.network(images)


class Reference:
    """Real images are shown once, as `reset_real_features=False` allows."""

    def __init__(self, network: nn.Module, width: int, real: Tensor, batch: int = 500) -> None:
        self.batch = batch
        metric = FrechetInceptionDistance(Features(network, width), reset_real_features=False)
        self.metric = metric.to(real.device)
        for part in real.split(batch):
            self.metric.update(part, real=True)

    def __call__(self, generated: Tensor) -> float:
        """The distance of uint8[N, C, H, W] images."""
        self.metric.reset()
        for part in generated.split(self.batch):
            self.metric.update(part, real=False)
        return float(self.metric.compute())
