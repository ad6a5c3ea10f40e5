"""A UNet's blocks for a GPU: what lies between their convolutions, in few kernels.

Torch's own group normalization wants channels first, in float32, so most of a training step goes
into laying images out anew. These kernels keep the convolutions' bfloat16 and channels last,
compute in float32, and always add in the same order.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
import triton  # pyright: ignore[reportMissingImports] - it is not for every system
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from imgcollapse.generators import kernels

FUSED_CHANNELS_LAST = torch.channels_last


def fuse(network: UNet2DModel) -> None:
    """Give a UNet these layers in place of its own; its weights keep their names and values."""
    for layer in list(network.modules()):
        if isinstance(blocks := getattr(layer, "resnets", None), nn.ModuleList):
            layer.resnets = nn.ModuleList(Block(cast(ResnetBlock2D, block)) for block in blocks)
        if isinstance(ups := getattr(layer, "upsamplers", None), nn.ModuleList):
            layer.upsamplers = nn.ModuleList(Up(cast(Upsample2D, up)) for up in ups)
    # Set as modules are: diffusers' annotations name the layers that stood there.
    network.add_module("conv_norm_out", Norm(network.conv_norm_out))
    network.add_module("conv_act", nn.Identity())


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + of time))), as `ResnetBlock2D` has it."""

    def __init__(self, of: ResnetBlock2D) -> None:
        """Takes over the weights of a block that keeps the size of its images."""
        super().__init__()
        self.norm1, self.conv1 = Norm(of.norm1), of.conv1
        self.time_emb_proj = cast(nn.Linear, of.time_emb_proj)
        self.norm2, self.conv2 = Norm(of.norm2), of.conv2
        if of.conv_shortcut is not None:
            self.conv_shortcut = of.conv_shortcut

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """float[N, C, H, W] and float[N, T] => float[N, C', H, W], channels last."""
        inner = _without_bias(self.conv1, self.norm1(x))
        shift = self.time_emb_proj(F.silu(time)) + self.conv1.bias
        inner = _without_bias(self.conv2, self.norm2(inner, shift))
        bias = cast(Tensor, self.conv2.bias)
        if (shortcut := getattr(self, "conv_shortcut", None)) is not None:
            x, bias = _without_bias(shortcut, x), bias + shortcut.bias
        return add(x, inner, bias)


class Up(nn.Module):
    """Every pixel four times, then a convolution, as `Upsample2D` has it."""

    def __init__(self, of: Upsample2D) -> None:
        """Takes over the layer's convolution."""
        super().__init__()
        self.conv = cast(nn.Conv2d, of.conv)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """float[N, C, H, W] => float[N, C', 2H, 2W], or of another `size`."""
        # With 2^31 numbers, and channels last, torch loses count (its #141831).
        fits = 4 * x.numel() < 2**31
        x = x.contiguous(memory_format=FUSED_CHANNELS_LAST if fits else torch.contiguous_format)
        with torch.autocast(x.device.type, enabled=False):  # it would make float32 of them first
            x = F.interpolate(x, size, None if size else 2.0)
        return self.conv(x)


class Norm(nn.Module):
    """silu(group_norm(x + shift)) of images, in their own type."""

    def __init__(self, of: nn.GroupNorm) -> None:
        """Takes over the norm's weights."""
        super().__init__()
        self.weight, self.bias, self.groups, self.eps = of.weight, of.bias, of.num_groups, of.eps

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """float[N, C, H, W] and, to be added first, float[N, C] => the former, channels last."""
        return _Norm.apply(x, shift, self.weight, self.bias, self.groups, self.eps)


def add(one: Tensor, other: Tensor, bias: Tensor) -> Tensor:
    """float[N, C, H, W] twice, and float[C] => their sum, channels last."""
    return _Sum.apply(one, other, bias)


def _without_bias(layer: nn.Module, x: Tensor) -> Tensor:
    conv = cast(nn.Conv2d, layer)
    return F.conv2d(x, conv.weight, None, conv.stride, conv.padding)


class _Norm(torch.autograd.Function):
    """z = scale * (x + shift - mean) / sd + offset (Wu & He 2018); y = z * sigmoid(z)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shift: Tensor | None,
        scale: Tensor,
        offset: Tensor,
        groups: int,
        eps: float,
    ) -> Tensor:
        x = x.contiguous(memory_format=FUSED_CHANNELS_LAST)
        y, moments = torch.empty_like(x), _numbers(x, 2, len(x), groups)
        grid, sizes = _divided(x, groups)
        kernels.norm[grid](x, shift, scale, offset, y, *moments, eps, **sizes, **FUSION)
        ctx.save_for_backward(x, shift, scale, offset, moments)
        ctx.groups = groups
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - of the decorator's making
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, shift, scale, offset, moments = ctx.saved_tensors
        dy = gradients[0].contiguous(memory_format=FUSED_CHANNELS_LAST)
        dx = torch.empty_like(x)
        sums = _numbers(x, 3, *x.shape[:2])  # of every image
        grid, sizes = _divided(x, ctx.groups)
        given = x, dy, shift, scale, offset, *moments
        kernels.norm_backward[grid](*given, dx, *sums, **sizes, **FUSION)
        of_scale, of_offset = sums[:2].sum(1)
        of_shift = None if shift is None else sums[2].to(shift.dtype)
        return dx, of_shift, of_scale, of_offset, None, None


class _Sum(torch.autograd.Function):
    """Two images and a bias for each channel."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, bias: Tensor) -> Tensor:
        one, other = (x.contiguous(memory_format=FUSED_CHANNELS_LAST) for x in (one, other))
        y = torch.empty_like(other)
        kernels.add[(triton.cdiv(y.numel(), SPAN),)](
            one, other, bias, y, y.numel(), CHANNELS=y.shape[1], SPAN=SPAN, **FUSION
        )
        ctx.types = one.dtype, other.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - of the decorator's making
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        dy = gradients[0].contiguous(memory_format=FUSED_CHANNELS_LAST)
        channels, pixels = dy.shape[1], dy.numel() // dy.shape[1]
        sums = _numbers(dy, triton.cdiv(pixels, STRETCH), channels)
        grid = (len(sums), triton.cdiv(channels, LANES))
        kernels.channel_sums[grid](
            dy, sums, pixels, channels, STRETCH=STRETCH, ROWS=64, LANES=LANES, **FUSION
        )
        one, other = ctx.types
        return dy.to(one), dy.to(other), sums.sum(0)


FUSION: Any = {"enable_fp_fusion": True}
"""A product and a sum are rounded once: bits shall not depend on what triton takes for usual."""
LANES = 32  # channels that a program holds
HELD = 4096
"""Numbers that a program of a norm holds of each kind: with more of them its registers spill."""
SPAN = 1024  # numbers that a program adds up
STRETCH = 1024  # pixels over which a program sums a channel


def _divided(x: Tensor, groups: int) -> tuple[tuple[int, int], dict[str, int]]:
    """A program takes some groups of one image: (images, blocks of groups), and its sizes."""
    _, channels, height, width = x.shape
    each = channels // groups
    padded = triton.next_power_of_2(each)
    # The fastest on an H100 of 32 to 128 lanes and 64 to 256 rows, before loads were widened.
    lanes, rows = (LANES, 128) if padded == each else (2 * LANES, 64)
    together, places = max(1, lanes // padded), height * width
    rows = min(rows, max(1, HELD // (padded * together)), triton.next_power_of_2(places))
    sizes = {"places": places, "groups": groups, "EACH": each, "PADDED": padded}
    sizes |= {"TOGETHER": together, "ROWS": rows}
    return (len(x), triton.cdiv(groups, together)), sizes


def _numbers(beside: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=beside.device)
