"""A small convolutional classifier, trained from scratch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from imgcollapse.core.images import Images, to_float
from imgcollapse.oracle.frozen import FrozenOracle, Oracle
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.loop import train
from imgcollapse.training.training_config import TrainingConfig, adamw

SHIFT = 1 / 16
"""Training images are moved by up to this share of their height, so that position says nothing."""


class CNN(Oracle):
    """Three convolutional stages, features of 4 x `width`; AdamW with a one-cycle rate.

    Attributes:
        width: channels of the first stage.
        steps: training steps.
        batch: images a step.
        lr: peak learning rate.
        flip: whether a mirrored image shows the same class (true for dogs, not for digits).
    """

    kind: Literal["cnn"] = "cnn"
    width: Annotated[int, Field(ge=4)] = 32
    steps: Annotated[int, Field(ge=1)] = 600
    batch: Annotated[int, Field(ge=2)] = 128
    lr: Annotated[float, Field(gt=0)] = 3e-3
    flip: bool = False

    def training_steps(self, images: int) -> int:
        """`steps`."""
        return self.steps

    def build(self, context: RunContext) -> FrozenOracle:
        """Layers with torch's own initial weights."""
        (channels, height, _), device = context.shape, context.device
        widths = (self.width, 2 * self.width, 4 * self.width)
        layers: list[nn.Module] = [_Scale()]
        for index, width in enumerate(widths):
            # 8-pixel digits would be gone after three halvings.
            stride = 2 if height >> (index + 1) >= 4 else 1
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        # The ends of the first two stages: texture, and shape. The third has forgotten everything
        # but the classes.
        watched = [layer for layer in layers if isinstance(layer, nn.ReLU)][1:4:2]
        body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(device.torch)
        head = nn.Linear(channels, context.classes).to(device.torch)
        return FrozenOracle(body, head, watched, device)

    def train(self, oracle: FrozenOracle, images: Images, context: RunContext) -> None:
        """Minimizes cross-entropy over shifted, and where `flip` allows it mirrored, images."""
        network = nn.Sequential(oracle.body, oracle.head).requires_grad_(True)

        def loss(pixels: Tensor, labels: Tensor, rng: BatchRNG) -> Tensor:
            return F.cross_entropy(network(self._augment(pixels, rng)).float(), labels)

        config = TrainingConfig(
            steps=self.steps,
            batch=min(self.batch, len(images)),
            lr=self.lr,
            schedule="one-cycle",
            optimizer=adamw,
            weight_decay=1e-2,
            cpu_rng=True,
            report_every=50,
            stage="oracle",
            setting="oracle",
        )
        train(network, images, loss, config, context, inputs=images.pixels)
        network.requires_grad_(False)

    def _augment(self, pixels: Tensor, rng: BatchRNG) -> Tensor:
        """One shift and one mirroring for the whole batch: cheap, and enough over many steps."""
        height, width = pixels.shape[-2:]
        reach = round(height * SHIFT)
        down, right, mirror = rng.shared_integers(2 * reach + 1, 3)
        padded = F.pad(pixels.float(), (reach,) * 4, mode="replicate")
        shifted = padded[..., down : down + height, right : right + width]
        return shifted.flip(-1) if self.flip and mirror % 2 else shifted


class _Scale(nn.Module):
    """Bytes => [-1, 1]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return to_float(pixels)
