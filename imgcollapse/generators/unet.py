"""The denoising network: how images of any size fit it, and how it is made fast on its device.

What makes it fast changes the last bits of a result. So it is chosen by the study and the device
alone, not by a clock: two workers on one machine, or a run and its resumption, choose alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
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


@dataclass(frozen=True)
class PadToMultiple:
    """Fits images to a network whose sides must be multiples of `multiple`."""

    shape: tuple[int, int, int]  # channels, height, width of an image
    multiple: int  # what both sides are padded up to, by repeating the last row and column
    patch: int  # side of the squares of pixels that are folded into channels (Shi et al. 2016).

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of what the network sees."""
        channels, height, width = self.shape
        rows = -(-height // self.multiple) * self.multiple
        columns = -(-width // self.multiple) * self.multiple
        return channels * self.patch**2, rows // self.patch, columns // self.patch

    def pad(self, images: Tensor) -> Tensor:
        """[N, C, H, W] images => what the network sees."""
        _, rows, columns = self.padded_shape
        _, height, width = self.shape
        padding = (0, columns * self.patch - width, 0, rows * self.patch - height)
        return F.pixel_unshuffle(F.pad(images, padding, mode="replicate"), self.patch)

    def crop(self, seen: Tensor) -> Tensor:
        """Crops the network's output to [N, C, H, W] images."""
        _, height, width = self.shape
        return F.pixel_shuffle(seen, self.patch)[..., :height, :width]


def unet(
    inside: tuple[int, int, int],
    channels: tuple[int, ...],
    layers: int,
    attention: bool,
    embeddings: int | None,
) -> UNet2DModel:
    """A diffusers UNet with one level for each of `channels`, each half the size of the one above.

    Its input has channels, height and width `inside`; a level has so many residual `layers`, and
    the coarsest attends (one head); `embeddings` is the number of conditions, if there are any.
    """
    depth = len(channels)
    coarsest = "Attn" if attention else ""
    return UNet2DModel(
        sample_size=inside[1:],
        in_channels=inside[0],
        out_channels=inside[0],
        layers_per_block=layers,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * (depth - 1) + (f"{coarsest}DownBlock2D",),
        up_block_types=(f"{coarsest}UpBlock2D",) + ("UpBlock2D",) * (depth - 1),
        add_attention=attention,
        attention_head_dim=channels[-1],
        # At least four features a group, as in EDM (Karras et al. 2022).
        norm_num_groups=math.gcd(32, *(features // 4 for features in channels)),
        num_class_embeds=embeddings,
    )


def optimize_network(network: UNet2DModel, places: int, device: Device, fuses: bool = True) -> None:
    """Choose how a network attends, at H x W = `places`, and how its images lie in memory.

    On a CPU the backward pass of fused attention is slow where few places attend. On a GPU
    convolutions in bfloat16 want the channels last; on a CPU that gains nothing (docs/speed.md).
    `fuses` allows the blocks of fused.py: for steps that are replayed, and not compiled.
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
