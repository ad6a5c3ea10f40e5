"""How long and how fast a network learns."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
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
        replay: whether a GPU may record a step and replay it (replay.py): where a loss depends on
            nothing but weights, images and draws.
    """

    steps: int
    batch: int
    lr: float
    warmup: int = 0
    anneal: bool = False
    weight_decay: float = 0.0
    clip: float | None = None
    ema: float = 0.0
    replay: bool = False

    def learning_rate(self, step: int) -> float:
        """Step size of step 0, 1, ..."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if not self.anneal:
            return self.lr * rise
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * rise * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def ema_decay(self, step: int) -> float:
        """EMA decay of a step: short at first, so that the random start is soon forgotten."""
        return min(self.ema, (1 + step) / (10 + step))
