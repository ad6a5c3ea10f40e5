"""How a diffusion network is made fast on its device, by rules that do not look at a clock.

Each changes the last bits of a result, so what is chosen must depend on the study and the device
alone: two workers on one machine, or a run and its resumption, must choose alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.sanitize import first_line

Compile = Literal["auto", "on", "off"]
"""How a GPU takes a training step: recorded, recorded and translated by torch.compile, or neither.

On a CPU only `on` does anything.
"""

SHORT = 256
"""Places that attend to one another, up to which attention is taken in plain products: they beat
fused attention on a CPU, and a GPU takes them in the same order every time."""


def optimize_network(network: UNet2DModel, places: int, device: Device, fuses: bool = True) -> None:
    """Choose how a network attends and normalises, and how its images lie in memory.

    On a CPU the backward pass of fused attention is slow where few places attend. On a GPU
    convolutions in bfloat16 want the channels last; on a CPU that gains nothing (docs/speed.md).

    Args:
        network: the UNet.
        places: H x W where it attends.
        device: where it runs.
        fuses: whether its blocks may become those of fused.py: for steps that are replayed, and
            not translated by torch.compile.
    """
    if places <= SHORT:
        for layer in network.modules():
            if isinstance(layer, Attention):
                layer.set_processor(AttnProcessor())
    if device.torch.type == "cuda":
        cast(nn.Module, network).to(memory_format=torch.channels_last)
        if fuses and not fusion_obstacle(device.torch):
            from imgcollapse.generators.fused import fuse  # its kernels are written in triton

            fuse(network)


@lru_cache
def fusion_obstacle(device: torch.device) -> str:
    """Why the kernels of fused blocks cannot be made and run there, or nothing."""
    if not find_spec("triton"):
        return "triton is not installed"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "its compute capability is below 8.0"
    try:
        from imgcollapse.generators.fused import add

        one = torch.zeros(1, 8, 1, 1, device=device)
        add(one, one, one.flatten())
    except Exception as error:  # a compiler that is missing, for one
        return first_line(error)
    return ""


def compiled(network: nn.Module) -> Any:
    """The same network with the same weights, translated when it is first called."""
    with warnings.catch_warnings(action="ignore"):  # of what it loads
        return torch.compile(network)


def compile_error(loss: Callable[[], Tensor], network: nn.Module) -> str:
    """Take one gradient, so that what is to be translated is; why that failed, or nothing."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of how the translator goes about it
            loss().backward()
    except Exception as error:  # whatever compilers, drivers and translators come up with
        return first_line(error)
    finally:
        network.zero_grad()
    return ""
