"""How far a training has come, kept and taken up again."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from imgcollapse.core.errors import Diverged
from imgcollapse.core.seeds import Seed
from imgcollapse.io.checkpoints import FIRST_STEP, CheckpointManager
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.io.training_tensors import (
    pack_training_state,
    unpack_training_state,
)
from imgcollapse.training.training_config import TrainingConfig

STAGE, RETRIED = "fit", "retried"


class TrainState:
    """A network, the moving average of its weights, its optimizer, and the steps they have taken.

    It begins where the scratch folder left off. Where numbers end it goes back to what was kept
    last, or to the start, and goes on from there with other batches: once.

    Attributes:
        step: steps taken.
        losses: of those taken here that led to where it is, as far as somebody has looked.
    """

    def __init__(
        self, network: nn.Module, plan: TrainingConfig, checkpoints: CheckpointManager
    ) -> None:
        self.network, self.plan, self.checkpoints, self.step = network, plan, checkpoints, 0
        self.weights: list[Tensor] = list(network.parameters())
        self.ema = [weight.detach().clone() for weight in self.weights if plan.ema]
        self.optimizer = torch.optim.Adam(
            self.weights, plan.lr, weight_decay=plan.weight_decay, fused=True
        )
        self.losses: list[float] = []
        self._unseen: list[Tensor] = []
        self._start = {name: t.clone() for name, t in network.state_dict().items()}
        self._go_on_from_latest()
        self._joined = self.step

    def seed(self, seed: Seed) -> Seed:
        """Names the draws of the next step, from the training's `seed`."""
        return (
            (seed / "retry" if RETRIED in self.checkpoints.metadata else seed) / "step" / self.step
        )

    def apply_gradients(self, loss: Tensor) -> None:
        """Take one step along the gradient that `loss` has left in the network."""
        plan, step = self.plan, self.step
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, plan.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = plan.learning_rate(step)
        self.optimizer.step()
        with torch.no_grad():
            if self.ema:  # all at once: weights are many and small
                get_ema_multi_avg_fn(plan.ema_decay(step))(self.ema, self.weights, step)
        self.step += 1
        self._unseen.append(loss)
        if step == 0 and FIRST_STEP not in self.checkpoints.metadata:
            self.checkpoints.add_metadata(FIRST_STEP, sha256_of_tensors(self.network.state_dict()))

    def sync_losses(self) -> float | None:
        """The latest loss, or None where numbers ended and the course has gone back.

        Reading losses waits for the device, so not at every step.

        Raises:
            Diverged: numbers ended a second time.
        """
        losses, self._unseen = torch.stack(self._unseen).tolist(), []
        first = self.step - len(losses) + 1
        bad = [(first + i, loss) for i, loss in enumerate(losses) if not math.isfinite(loss)]
        why = f"the loss is {bad[0][1]} in step {bad[0][0]}" if bad else None
        sound = torch.stack([weight.isfinite().all() for weight in self.weights]).all()
        if why is None and not bool(sound):
            why = f"a weight is no number any more after step {self.step}"
        if why is None:
            self.losses += losses
            return losses[-1]
        self._go_back(f"{why} of {self.plan.steps}")
        return None

    def save(self) -> None:
        """Keep it as it is; after a `look` that found numbers."""
        self.checkpoints.save(
            STAGE, self.step, pack_training_state(self.network, self.optimizer, self.ema)
        )

    def finish(self) -> None:
        """Leave the averaged weights in the network."""
        with torch.no_grad():
            for weight, mean in zip(self.weights, self.ema, strict=False):
                weight.copy_(mean)
        self.network.eval()

    def _go_back(self, why: str) -> None:
        facts, lr = (
            self.checkpoints.metadata,
            f"lower lr ({self.plan.lr:g}), or use precision float32",
        )
        if RETRIED in facts:
            raise Diverged(
                f"generator.lr: {facts[RETRIED]['why']}; with other batches from step "
                f"{facts[RETRIED]['from_step']} on {why}; {lr}"
            )
        self._go_back_to_start()
        self._go_on_from_latest()
        del self.losses[max(0, self.step - self._joined) :]
        self._joined = min(self._joined, self.step)
        self.checkpoints.add_metadata(RETRIED, {"from_step": self.step, "why": why})
        self.checkpoints.log(f"{why}: going on from step {self.step} with other batches")

    def _go_back_to_start(self) -> None:
        self.network.load_state_dict(self._start)
        with torch.no_grad():
            for mean, weight in zip(self.ema, self.weights, strict=False):
                mean.copy_(weight)
        self.optimizer.state.clear()
        self.step = 0

    def _go_on_from_latest(self) -> None:
        if kept := self.checkpoints.load_latest(STAGE):
            unpack_training_state(kept.tensors, self.network, self.optimizer, self.ema)
            self.step = kept.step
