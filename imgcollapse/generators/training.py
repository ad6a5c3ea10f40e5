"""The one training loop: every network here learns by it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, to_float
from imgcollapse.core.protocols import Progress
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.draws import Draws

REPORT_SECONDS = 0.5

Loss = Callable[[Tensor, Tensor, Draws], Tensor]
"""(float32[b, C, H, W] in [-1, 1], int64[b] labels, their draws) => mean over them, to minimise.

Where training is on tokens they are what it is given first, int64[b, T].
"""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        steps: optimizer steps.
        batch: images a step, drawn with replacement.
        lr: Adam's step size (Kingma & Ba 2015).
        warmup: steps over which the step size rises linearly from 0.
        anneal: whether it then falls to 0 along half a cosine; else it stays.
        weight_decay: L2 penalty.
        clip: largest norm of the gradient, or None.
        ema: decay of the moving average of the weights that is kept; 0 keeps the last weights.
    """

    steps: int
    batch: int
    lr: float
    warmup: int = 0
    anneal: bool = False
    weight_decay: float = 0.0
    clip: float | None = None
    ema: float = 0.0

    def lr_at(self, step: int) -> float:
        """Step size of step 0, 1, ..."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if not self.anneal:
            return self.lr * rise
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * rise * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def decay_at(self, step: int) -> float:
        """EMA decay of a step: short at first, so that the random start is soon forgotten."""
        return min(self.ema, (1 + step) / (10 + step))


def train(
    network: nn.Module,
    images: Images,
    loss_of: Loss,
    plan: Plan,
    seed: Seed,
    device: Device,
    progress: Progress,
    tokens: Tensor | None = None,
) -> None:
    """Minimise a loss over images, and leave the averaged weights in `network`.

    Step i draws its images, and their noise, from `seed / "step" / i` alone.

    Args:
        network: what learns.
        images: what it learns from.
        loss_of: what is minimised.
        plan: how long and how fast.
        seed: names the draws.
        device: where.
        progress: is told how far it is.
        tokens: int64[N, T], what the loss is given in place of the pixels; none gives it those.

    Raises:
        UserError: there are no images, or the loss is no longer finite.
    """
    check(images)
    network.to(device.torch).train()
    seen = (images.pixels if tokens is None else tokens).to(device.torch)
    labels = images.labels.long().to(device.torch)
    weights = list(network.parameters())
    average = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.Adam(weights, plan.lr, weight_decay=plan.weight_decay, fused=True)
    reported = time.monotonic()
    for step in range(plan.steps):
        draws = Draws(seed / "step" / step, plan.batch, device.torch)
        rows = draws.below(len(seen))
        with device.autocast():
            shown = to_float(seen[rows]) if tokens is None else seen[rows]
            loss = loss_of(shown, labels[rows], draws)
        loss.backward()
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(weights, plan.clip)
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(step)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for mean, weight in zip(average, weights, strict=True):
                mean.lerp_(weight, 1 - plan.decay_at(step))
        # Reading the loss waits for the device, so not at every step.
        if step + 1 == plan.steps or time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            _report(loss, step + 1, plan, progress)
    with torch.no_grad():
        for mean, weight in zip(average, weights, strict=True):
            weight.copy_(mean)
    network.eval()


def check(images: Images, conditional: bool = False) -> None:
    """Refuse images that nothing can be learned from.

    Raises:
        UserError: there are none, or a conditional model meets one without a class.
    """
    if not len(images):
        raise UserError("training set: it is empty; give the generator at least one image")
    if conditional and int(images.labels.min()) < 0:
        raise UserError(
            f"generator.conditional: {int((images.labels < 0).sum())} of {len(images)}"
            " images have no class; set conditional: false"
        )


def _report(loss: Tensor, done: int, plan: Plan, progress: Progress) -> None:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise UserError(
            f"generator.lr: the loss is {value} after {done} of {plan.steps} steps;"
            f" lower lr ({plan.lr:g}), or use precision float32"
        )
    progress("train", done, plan.steps, done * plan.batch, value)


def load(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put saved weights into a network.

    Raises:
        UserError: they belong to a network of another shape.
    """
    try:
        network.load_state_dict(cast(dict[str, Tensor], state))
    except RuntimeError:
        raise UserError(
            "generator: the saved weights do not fit its settings;"
            " use the settings and image size the model was trained with"
        ) from None


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights as named tensors on the CPU."""
    return {name: weight.detach().cpu() for name, weight in network.state_dict().items()}
