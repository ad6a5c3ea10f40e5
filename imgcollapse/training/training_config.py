"""The settings of a training: optimizer, learning rate schedule, EMA, reporting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

MakeOptimizer = Callable[[list[Tensor], float, float], Optimizer]
"""Weights, learning rate, weight decay => an optimizer of them."""


def fused_adam(weights: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Returns Adam (Kingma & Ba 2015) with an L2 penalty, all weights in one kernel."""
    return torch.optim.Adam(weights, lr, weight_decay=weight_decay, fused=True)


def adamw(weights: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Returns Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(weights, lr, weight_decay=weight_decay)


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training."""

    steps: int  # optimizer steps
    batch: int  # images in a step, drawn with replacement
    lr: float  # the largest learning rate
    # "warmup" rises to `lr` and stays; "cosine" then falls to 0 along half a cosine; "one-cycle" is
    # torch's OneCycleLR (Smith & Topin 2019) with its defaults
    schedule: Literal["warmup", "cosine", "one-cycle"] = "warmup"
    warmup: int = 0  # steps over which the learning rate rises linearly from 0; not for one-cycle
    optimizer: MakeOptimizer = fused_adam  # makes the optimizer
    weight_decay: float = 0.0  # weight decay, as the optimizer defines it
    clip: float | None = None  # largest norm of the gradient, or None
    ema: float = 0.0  # decay of the moving average of the weights, which are the result; 0 for none
    # Whether a GPU may replay a step: where a loss depends only on weights, images and draws
    replay: bool = False
    cpu_rng: bool = False  # whether batches are drawn on the CPU whatever the device
    report_every: int | None = None  # steps between progress reports; None: half a second
    stage: str = "fit"  # the name of its checkpoints
    setting: str = "generator"  # the part of the study that error messages name

    @classmethod
    def cosine(
        cls, steps: int, batch: int, lr: float, warmup: int, ema: float, replay: bool = True
    ) -> TrainingConfig:
        """Adam with a cosine schedule and gradients of norm 1 at most."""
        return cls(steps, batch, lr, "cosine", warmup, clip=1.0, ema=ema, replay=replay)

    def hyperparameters(self, step: int) -> dict[str, Any]:
        """Returns the optimizer's settings for step 0, 1, ..."""
        return self._one_cycle(step) if self.schedule == "one-cycle" else {"lr": self._warmup(step)}

    def ema_decay(self, step: int) -> float:
        """Returns a step's EMA decay: small at first, so that the random start is soon left."""
        return min(self.ema, (1 + step) / (10 + step))

    def _warmup(self, step: int) -> float:
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if self.schedule != "cosine":
            return self.lr * rise
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * rise * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def _one_cycle(self, step: int) -> dict[str, Any]:
        """The same bits as OneCycleLR, which cannot be asked for a step without its history."""
        initial = self.lr / 25
        peak, last = 0.3 * self.steps - 1, self.steps - 1
        if step <= peak:
            share = step / peak
            lr, momentum = _anneal(initial, self.lr, share), _anneal(0.95, 0.85, share)
        else:
            share = (step - peak) / (last - peak)
            lr, momentum = _anneal(self.lr, initial / 1e4, share), _anneal(0.85, 0.95, share)
        return {"lr": lr, "betas": (momentum, 0.999)}


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
