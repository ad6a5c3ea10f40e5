"""The state of a training: what is saved, restored, and rolled back when it diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from imgcollapse.core.errors import Diverged
from imgcollapse.core.seeds import Seed
from imgcollapse.io.checkpoints import FIRST_STEP, CheckpointManager
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.training.training_config import TrainingConfig

RETRIED = "retried"


class TrainState:
    """A network, its optimizer, the moving average of its weights, and the steps taken.

    It starts from the latest checkpoint. When the loss or a weight is not finite, it rolls back to
    the latest checkpoint, or to the start, and goes on with other batches, once.

    Attributes:
        step: steps taken.
        losses: losses of the steps taken here that led to this state, up to the last sync.
    """

    def __init__(
        self, network: nn.Module, config: TrainingConfig, checkpoints: CheckpointManager
    ) -> None:
        self.network, self.config, self.checkpoints, self.step = network, config, checkpoints, 0
        self.weights: list[Tensor] = list(network.parameters())
        self.ema = [weight.detach().clone() for weight in self.weights if config.ema]
        self.optimizer = config.optimizer(self.weights, config.lr, config.weight_decay)
        self.losses: list[float] = []
        self._unread: list[Tensor] = []
        self._start = {name: t.clone() for name, t in network.state_dict().items()}
        self._restore_latest()
        self._joined = self.step

    def step_seed(self, seed: Seed) -> Seed:
        """Returns the seed of the next step's draws, below the training's `seed`."""
        retried = RETRIED in self.checkpoints.metadata
        return (seed / "retry" if retried else seed) / "step" / self.step

    def count_step(self, loss: Tensor) -> None:
        """Updates the averaged weights, and counts a step that was taken, with its loss."""
        step = self.step
        with torch.no_grad():
            if self.ema:  # all at once: weights are many and small
                get_ema_multi_avg_fn(self.config.ema_decay(step))(self.ema, self.weights, step)
        self.step += 1
        self._unread.append(loss)
        if step == 0 and FIRST_STEP not in self.checkpoints.metadata:
            self.checkpoints.add_metadata(FIRST_STEP, sha256_of_tensors(self.network.state_dict()))

    def sync_losses(self) -> float | None:
        """Reads the losses from the device; returns the latest, or None after a rollback.

        Reading waits for the device, so it is not done at every step. Raises `Diverged` the second
        time.
        """
        losses, self._unread = torch.stack(self._unread).tolist(), []
        first = self.step - len(losses) + 1
        bad = [(first + i, loss) for i, loss in enumerate(losses) if not math.isfinite(loss)]
        why = f"the loss is {bad[0][1]} in step {bad[0][0]}" if bad else None
        finite = torch.stack([weight.isfinite().all() for weight in self.weights]).all()
        if why is None and not bool(finite):
            why = f"a weight is not finite after step {self.step}"
        if why is None:
            self.losses += losses
            return losses[-1]
        self._roll_back(f"{why} of {self.config.steps}")
        return None

    def save(self) -> None:
        """Saves a checkpoint; to be called after `sync_losses` found finite numbers."""
        tensors = pack_tensors(self.network, self.optimizer, self.ema)
        self.checkpoints.save(self.config.stage, self.step, tensors)

    def finish(self) -> None:
        """Leaves the averaged weights in the network."""
        with torch.no_grad():
            for weight, mean in zip(self.weights, self.ema, strict=False):
                weight.copy_(mean)
        self.network.eval()

    def _roll_back(self, why: str) -> None:
        metadata, config = self.checkpoints.metadata, self.config
        if RETRIED in metadata:
            raise Diverged(
                f"{config.setting}.lr: {metadata[RETRIED]['why']}; with other batches from step "
                f"{metadata[RETRIED]['from_step']} on {why}; lower lr ({config.lr:g}), or use "
                "precision float32"
            )
        self.network.load_state_dict(self._start)
        with torch.no_grad():
            for mean, weight in zip(self.ema, self.weights, strict=False):
                mean.copy_(weight)
        self.optimizer.state.clear()
        self.step = 0
        self._restore_latest()
        del self.losses[max(0, self.step - self._joined) :]
        self._joined = min(self._joined, self.step)
        self.checkpoints.add_metadata(RETRIED, {"from_step": self.step, "why": why})
        self.checkpoints.log(f"{why}: going on from step {self.step} with other batches")

    def _restore_latest(self) -> None:
        if kept := self.checkpoints.load_latest(self.config.stage):
            unpack_tensors(kept.tensors, self.network, self.optimizer, self.ema)
            self.step = kept.step


def pack_tensors(
    network: nn.Module, optimizer: Optimizer, average: Sequence[Tensor] = ()
) -> dict[str, Tensor]:
    """Copies a network, its optimizer's state and averaged weights to named tensors on the CPU.

    The optimizer's hyperparameters are left out: they follow from the step.
    """
    parts: dict[str, Tensor] = {f"network/{k}": t for k, t in network.state_dict().items()}
    for weight, of_weight in optimizer.state_dict()["state"].items():
        parts |= {f"optimizer/{weight}/{k}": t for k, t in of_weight.items()}
    parts |= {f"average/{weight}": t for weight, t in enumerate(average)}
    return {name: t.detach().to("cpu", copy=True) for name, t in parts.items()}


def unpack_tensors(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    optimizer: Optimizer,
    average: Sequence[Tensor] = (),
) -> None:
    """Restores what `pack_tensors` has copied, bit for bit."""
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        part, _, name = path.partition("/")
        if part == "network":
            weights[name] = tensor
        elif part == "optimizer":
            weight, _, key = name.partition("/")
            state.setdefault(int(weight), {})[key] = tensor
        else:
            with torch.no_grad():
                average[int(name)].copy_(tensor)
    network.load_state_dict(weights)
    shown = [weight for group in optimizer.param_groups for weight in group["params"]]
    # A fused optimizer step walks through a weight and its state in the order of their memory.
    state = {i: {k: _in_layout_of(shown[i], t) for k, t in of.items()} for i, of in state.items()}
    groups: Any = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _in_layout_of(weight: Tensor, tensor: Tensor) -> Tensor:
    same = tensor.shape == weight.shape and tensor.dtype == weight.dtype
    return torch.empty_like(weight).copy_(tensor) if same else tensor
