"""A small convolutional classifier, trained from scratch."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from imgcollapse.core import signals
from imgcollapse.core.images import Images, to_float
from imgcollapse.io.training_tensors import pack_training_state, unpack_training_state
from imgcollapse.oracle.frozen import FrozenOracle, Oracle
from imgcollapse.training.context import RunContext

STAGE = "oracle"

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
        """Minimise cross-entropy; each step's batch and shifts are drawn from its own seed."""
        device = oracle.device
        net = nn.Sequential(oracle.body, oracle.head).train().requires_grad_(True)
        optimizer = torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        pixels, labels = images.pixels.to(device.torch), images.labels.long().to(device.torch)
        batch = min(self.batch, len(images))
        checkpoints, progress, done = context.checkpoints, context.progress, 0
        if kept := checkpoints.load_latest(STAGE):
            unpack_training_state(kept.tensors, net, optimizer)
            done = kept.step
            rate.last_epoch = done - 1  # what it says of a step depends on nothing else
            with warnings.catch_warnings(category=UserWarning, action="ignore"):
                rate.step()  # before any step of this optimizer, which it takes for a mistake
        with device.deterministic():
            for step in range(done, self.steps):
                draw = (context.seed / "step" / step).torch()
                rows = torch.randint(len(images), (batch,), generator=draw).to(device.torch)
                with device.autocast():
                    scores = net(self._moved(pixels[rows], draw))
                    loss = F.cross_entropy(scores.float(), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
                if step % 50 == 49 or step == self.steps - 1:
                    progress(
                        "train", step + 1, self.steps, (step + 1) * batch, float(loss.detach())
                    )
                if checkpoints.should_save(ends=step == self.steps - 1):
                    checkpoints.save(STAGE, step + 1, pack_training_state(net, optimizer))
                    signals.raise_if_stop_requested()
        net.eval().requires_grad_(False)

    def _moved(self, pixels: Tensor, draw: torch.Generator) -> Tensor:
        """One shift and one mirroring for the whole batch: cheap, and enough over many steps."""
        height, width = pixels.shape[-2:]
        reach = round(height * SHIFT)
        down, right, mirror = torch.randint(0, 2 * reach + 1, (3,), generator=draw).tolist()
        padded = F.pad(pixels.float(), (reach,) * 4, mode="replicate")
        moved = padded[..., down : down + height, right : right + width]
        return moved.flip(-1) if self.flip and mirror % 2 else moved


class _Scale(nn.Module):
    """Bytes => [-1, 1]."""

    def forward(self, pixels: Tensor) -> Tensor:
        return to_float(pixels)
