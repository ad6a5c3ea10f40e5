"""A VAE in plain PyTorch: float32, a DataLoader, Adam.

After the loop of pytorch/examples (vae/main.py): the loss is summed over a batch, read at every
step for the running mean of the epoch, and one worker loads the data where there is a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from imgcollapse.core.images import Images
from imgcollapse.tools.bench.pictures import Pictures


class PlainVAE(nn.Module):
    """An encoder to mean and log variance, and a decoder to logits: modules somebody else made."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[B, C, H, W] in [0, 1] => logits, mean, log variance."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def data(images: Images) -> Pictures:
    """The data set, made before the clock starts."""
    return Pictures(images, transforms.ToTensor())


def train(
    model: PlainVAE,
    dataset: Pictures,
    epochs: int,
    batch: int,
    lr: float,
    weight_decay: float,
    device: torch.device,
) -> list[float]:
    """Train; returns the mean loss of each epoch, in nats an image."""
    workers: dict[str, Any] = (
        {"num_workers": 1, "pin_memory": True} if device.type == "cuda" else {}
    )
    loader = DataLoader(dataset, batch_size=batch, shuffle=True, **workers)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    means = []
    for _ in range(epochs):
        total = 0.0
        for clean in loader:
            x = clean.to(device)
            optimizer.zero_grad()
            logits, mean, log_variance = model(x)
            misfit = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            # Divided so that Adam's step, and with it the result, is that of this program.
            loss = (misfit + divergence) / len(x)
            loss.backward()
            total += loss.item() * len(x)
            optimizer.step()
        means.append(total / len(dataset))
    return means
