"""How a diffusion network is made fast on its device, by rules that do not look at a clock.

Each changes the last bits of a result, so what is chosen must depend on the study and the device
alone: two workers on one machine, or a run and its resumption, must choose alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from imgcollapse.core.device import Device

Compile = Literal["auto", "on", "off"]

SHORT = 256
"""Places that attend to one another, up to which plain products beat fused attention on a CPU."""
PAYS_BACK = 2000
"""Steps that a compiled network is trained on a GPU at least: compiling takes a minute."""


def quicken(network: nn.Module, places: int, device: Device) -> None:
    """Choose how a network attends and how its images lie in memory.

    On a CPU the backward pass of fused attention is slow where few places attend. On a GPU
    convolutions in bfloat16 want the channels last; on a CPU that gains nothing (docs/speed.md).

    Args:
        network: the UNet.
        places: H x W where it attends.
        device: where it runs.
    """
    kind = device.torch.type
    if kind == "cpu" and places <= SHORT:
        for layer in network.modules():
            if isinstance(layer, Attention):
                layer.set_processor(AttnProcessor())
    if kind == "cuda":
        network.to(memory_format=torch.channels_last)


def compiles(asked: Compile, steps: int, device: Device) -> bool:
    """Whether a network that is trained for `steps` is compiled.

    By itself only on a GPU, where a small network waits for its kernels to be launched, and only
    where that pays back.
    """
    if asked == "auto":
        return device.torch.type == "cuda" and steps >= PAYS_BACK
    return asked == "on"


def compiled(network: nn.Module, device: Device) -> Any:
    """The same network with the same weights, translated when it is first called.

    On a GPU into CUDA graphs, which launch all kernels of a step at once.
    """
    return torch.compile(network, mode="reduce-overhead" if device.torch.type == "cuda" else None)


def failure(loss: Callable[[], Tensor], network: nn.Module) -> str:
    """Take one gradient, so that what is to be translated is; why that failed, or nothing."""
    try:
        loss().backward()
    except Exception as error:  # whatever compilers, drivers and translators come up with
        return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    finally:
        network.zero_grad()
    return ""
