"""The state of a training as named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def pack_training_state(
    network: nn.Module, optimizer: Optimizer, average: Sequence[Tensor] = ()
) -> dict[str, Tensor]:
    """Copies, on the CPU, of all that a training goes on from.

    Args:
        network: its weights and buffers.
        optimizer: what it remembers of every weight; its step size and the like are left out.
        average: a moving average of the weights.
    """
    parts: dict[str, Tensor] = {f"network/{k}": t for k, t in network.state_dict().items()}
    for weight, memory in optimizer.state_dict()["state"].items():
        parts |= {f"optimizer/{weight}/{k}": t for k, t in memory.items()}
    parts |= {f"average/{weight}": t for weight, t in enumerate(average)}
    return {name: t.detach().to("cpu", copy=True) for name, t in parts.items()}


def unpack_training_state(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    optimizer: Optimizer,
    average: Sequence[Tensor] = (),
) -> None:
    """Put back what `pack` has taken, bit for bit."""
    weights: dict[str, Tensor] = {}
    memory: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        part, _, name = path.partition("/")
        if part == "network":
            weights[name] = tensor
        elif part == "optimizer":
            weight, _, key = name.partition("/")
            memory.setdefault(int(weight), {})[key] = tensor
        else:
            with torch.no_grad():
                average[int(name)].copy_(tensor)
    network.load_state_dict(weights)
    shown = [weight for group in optimizer.param_groups for weight in group["params"]]
    # A fused step walks through a weight and what goes with it in one order.
    memory = {
        i: {key: _laid_out_as(shown[i], t) for key, t in of.items()} for i, of in memory.items()
    }
    groups: Any = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    same = tensor.shape == weight.shape and tensor.dtype == weight.dtype
    return torch.empty_like(weight).copy_(tensor) if same else tensor
