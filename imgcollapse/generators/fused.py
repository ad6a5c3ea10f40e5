"""A UNet's blocks for a GPU: what lies between their convolutions, in few kernels.

Convolutions in bfloat16 want the channels last. Torch's own group normalisation wants them first,
and in float32, and most of a training step goes into laying images out anew and adding one vector
at a time. These kernels read and write what the convolutions have, compute in float32, and always
add in the same order.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

LAST = torch.channels_last


def fuse(network: UNet2DModel) -> None:
    """Give a UNet these layers in place of its own; its weights keep their names and values."""
    for layer in list(network.modules()):
        if isinstance(blocks := getattr(layer, "resnets", None), nn.ModuleList):
            layer.resnets = nn.ModuleList(Block(cast(ResnetBlock2D, block)) for block in blocks)
        if isinstance(ups := getattr(layer, "upsamplers", None), nn.ModuleList):
            layer.upsamplers = nn.ModuleList(Up(cast(Upsample2D, up)) for up in ups)
    network.conv_norm_out, network.conv_act = Norm(network.conv_norm_out), nn.Identity()


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + of time))), as `ResnetBlock2D` has it."""

    def __init__(self, of: ResnetBlock2D) -> None:
        """
        Args:
            of: a block that keeps the size of its images, whose weights this one takes over.
        """
        super().__init__()
        self.norm1, self.conv1 = Norm(of.norm1), of.conv1
        self.time_emb_proj = of.time_emb_proj
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
        return _Sum.apply(x, inner, bias)


class Up(nn.Module):
    """Every pixel four times, then a convolution, as `Upsample2D` has it."""

    def __init__(self, of: Upsample2D) -> None:
        """
        Args:
            of: the layer whose convolution this one takes over.
        """
        super().__init__()
        self.conv = of.conv

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """float[N, C, H, W] => float[N, C', 2H, 2W], or of another `size`."""
        fits = (
            4 * x.numel() < 2**31
        )  # with more, and channels last, torch loses count (its #141831)
        x = x.contiguous(memory_format=LAST if fits else torch.contiguous_format)
        with torch.autocast(x.device.type, enabled=False):  # it would make float32 of them first
            x = F.interpolate(x, size, None if size else 2.0)
        return self.conv(x)


class Norm(nn.Module):
    """silu(group_norm(x + shift)) of images, in their own type."""

    def __init__(self, of: nn.GroupNorm) -> None:
        """
        Args:
            of: the norm whose weights this one takes over.
        """
        super().__init__()
        self.weight, self.bias, self.groups, self.eps = of.weight, of.bias, of.num_groups, of.eps

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """float[N, C, H, W] and, to be added first, float[N, C] => the former, channels last."""
        return _Norm.apply(x, shift, self.weight, self.bias, self.groups, self.eps)


def _without_bias(layer: nn.Module, x: Tensor) -> Tensor:
    conv = cast(nn.Conv2d, layer)
    return F.conv2d(x, conv.weight, None, conv.stride, conv.padding)


class _Norm(torch.autograd.Function):
    """z = scale * (x + shift - mean) / sd + offset; y = z * sigmoid(z).

    Wu & He 2018; Elfwing et al. 2018.
    """

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
        x = x.contiguous(memory_format=LAST)
        y, moments = torch.empty_like(x), torch.empty(2, len(x), groups, device=x.device)
        grid, sizes = _divided(x, groups)
        _norm[grid](x, shift, scale, offset, y, *moments, eps, **sizes, **FUSION)
        ctx.save_for_backward(x, shift, scale, offset, moments)
        ctx.groups = groups
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, shift, scale, offset, moments = ctx.saved_tensors
        dy = gradients[0].contiguous(memory_format=LAST)
        dx = torch.empty_like(x)
        sums = torch.empty(3, *x.shape[:2], device=x.device)  # of every image
        grid, sizes = _divided(x, ctx.groups)
        _norm_backward[grid](x, dy, shift, scale, offset, *moments, dx, *sums, **sizes, **FUSION)
        of_scale, of_offset = sums[:2].sum(1)
        of_shift = None if shift is None else sums[2].to(shift.dtype)
        return dx, of_shift, of_scale, of_offset, None, None


class _Sum(torch.autograd.Function):
    """Two images and a bias for each channel."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, bias: Tensor) -> Tensor:
        one, other = (x.contiguous(memory_format=LAST) for x in (one, other))
        y = torch.empty_like(other)
        _sum[(triton.cdiv(y.numel(), SPAN),)](
            one, other, bias, y, y.numel(), CHANNELS=y.shape[1], SPAN=SPAN, **FUSION
        )
        ctx.types = one.dtype, other.dtype
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dy = gradients[0].contiguous(memory_format=LAST)
        channels, pixels = dy.shape[1], dy.numel() // dy.shape[1]
        sums = torch.empty(triton.cdiv(pixels, STRETCH), channels, device=dy.device)
        grid = (len(sums), triton.cdiv(channels, LANES))
        _channel_sums[grid](
            dy, sums, pixels, channels, STRETCH=STRETCH, ROWS=64, LANES=LANES, **FUSION
        )
        one, other = ctx.types
        return dy.to(one), dy.to(other), sums.sum(0)


FUSION: Any = {"enable_fp_fusion": True}
"""A product and a sum are rounded once: bits shall not depend on what triton takes for usual."""
LANES = 32
"""Channels that a program holds."""
SPAN = 1024
"""Numbers that a program adds up."""
STRETCH = 1024
"""Pixels over which a program sums a channel."""


def _divided(x: Tensor, groups: int) -> tuple[tuple[int, int], dict[str, int]]:
    """A program takes some groups of one image: (images, blocks of groups), and its sizes."""
    _, channels, height, width = x.shape
    each = channels // groups
    padded = triton.next_power_of_2(each)
    # What was fastest on an H100 among 32 to 128 lanes and 64 to 256 rows.
    lanes, rows = (LANES, 128) if padded == each else (2 * LANES, 64)
    together = max(1, lanes // padded)
    sizes = {
        "places": height * width,
        "groups": groups,
        "EACH": each,
        "PADDED": padded,
        "TOGETHER": together,
        "ROWS": min(rows, triton.next_power_of_2(height * width)),
    }
    return (len(x), triton.cdiv(groups, together)), sizes


@triton.jit
def _lanes(groups, EACH: tl.constexpr, PADDED: tl.constexpr, TOGETHER: tl.constexpr):
    """Which group and channel a lane is of, and whether it is of any."""
    lane = tl.arange(0, TOGETHER * PADDED)
    group = tl.program_id(1) * TOGETHER + lane // PADDED
    if EACH == PADDED:
        # The same as below, in a way that lets the compiler see neighbours, and load eight at once.
        channel = tl.program_id(1) * TOGETHER * PADDED + lane
        there = channel < groups * EACH
    else:
        channel = group * EACH + lane % PADDED
        there = (lane % PADDED < EACH) & (group < groups)
    return group, channel, there


@triton.jit
def _over_groups(x, PADDED: tl.constexpr, TOGETHER: tl.constexpr):
    """Sums over each group's lanes, told to every lane."""
    sums = tl.sum(tl.reshape(x, (TOGETHER, PADDED)), axis=1)
    told = tl.broadcast_to(tl.expand_dims(sums, 1), (TOGETHER, PADDED))
    return tl.reshape(told, (TOGETHER * PADDED,))


@triton.jit
def _shift_of(shift_at, told, there):
    """What is added to every channel of an image, if anything is."""
    if shift_at is None:
        shift = tl.zeros_like(told).to(tl.float32)
    else:
        shift = tl.load(shift_at + told, mask=there, other=0.0).to(tl.float32)
    return shift


@triton.jit
def _norm(
    x_at,
    shift_at,
    scale_at,
    offset_at,
    y_at,
    mean_at,
    rate_at,
    eps,
    places,
    groups,
    EACH: tl.constexpr,
    PADDED: tl.constexpr,
    TOGETHER: tl.constexpr,
    ROWS: tl.constexpr,
):
    image = tl.program_id(0).to(tl.int64)
    group, channel, there = _lanes(groups, EACH, PADDED, TOGETHER)
    rows = tl.arange(0, ROWS)
    channels = groups * EACH
    shift = _shift_of(shift_at, image * channels + channel, there)
    sums = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    squares = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    for row in range(0, places, ROWS):
        at = (image * places + row + rows)[:, None] * channels + channel[None, :]
        inside = ((row + rows) < places)[:, None] & there[None, :]
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32) + shift[None, :]
        x = tl.where(inside, x, 0.0)
        sums += x
        squares += x * x
    count = places * EACH
    mean = _over_groups(tl.sum(sums, axis=0), PADDED, TOGETHER) / count
    variance = _over_groups(tl.sum(squares, axis=0), PADDED, TOGETHER) / count - mean * mean
    rate = 1 / tl.sqrt(tl.maximum(variance, 0.0) + eps)
    first_of_group = there & (channel == group * EACH)
    tl.store(mean_at + image * groups + group, mean, mask=first_of_group)
    tl.store(rate_at + image * groups + group, rate, mask=first_of_group)
    slope = rate * tl.load(scale_at + channel, mask=there, other=0.0)
    level = tl.load(offset_at + channel, mask=there, other=0.0) + (shift - mean) * slope
    for row in range(0, places, ROWS):
        at = (image * places + row + rows)[:, None] * channels + channel[None, :]
        inside = ((row + rows) < places)[:, None] & there[None, :]
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        z = x * slope[None, :] + level[None, :]
        tl.store(y_at + at, (z * tl.sigmoid(z)).to(y_at.dtype.element_ty), mask=inside)


@triton.jit
def _before_silu(dy, z):
    """The gradient of z, from that of silu(z)."""
    share = tl.sigmoid(z)
    return dy * share * (1 + z * (1 - share))


@triton.jit
def _norm_backward(
    x_at,
    dy_at,
    shift_at,
    scale_at,
    offset_at,
    mean_at,
    rate_at,
    dx_at,
    of_scale_at,
    of_offset_at,
    of_shift_at,
    places,
    groups,
    EACH: tl.constexpr,
    PADDED: tl.constexpr,
    TOGETHER: tl.constexpr,
    ROWS: tl.constexpr,
):
    image = tl.program_id(0).to(tl.int64)
    group, channel, there = _lanes(groups, EACH, PADDED, TOGETHER)
    rows = tl.arange(0, ROWS)
    channels = groups * EACH
    told = image * channels + channel
    scale = tl.load(scale_at + channel, mask=there, other=0.0)
    offset = tl.load(offset_at + channel, mask=there, other=0.0)
    rate = tl.load(rate_at + image * groups + group, mask=there, other=0.0)
    mean = tl.load(mean_at + image * groups + group, mask=there, other=0.0)
    mean -= _shift_of(shift_at, told, there)  # of what the convolution has made
    alongs = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    plains = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    units = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    for row in range(0, places, ROWS):
        at = (image * places + row + rows)[:, None] * channels + channel[None, :]
        inside = ((row + rows) < places)[:, None] & there[None, :]
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_at + at, mask=inside, other=0.0).to(tl.float32)
        unit = tl.where(inside, (x - mean[None, :]) * rate[None, :], 0.0)
        dz = _before_silu(dy, unit * scale[None, :] + offset[None, :])
        alongs += dz * unit
        plains += dz
        units += unit
    along, plain, unit_sum = tl.sum(alongs, axis=0), tl.sum(plains, axis=0), tl.sum(units, axis=0)
    count = places * EACH
    tilt = _over_groups(scale * along, PADDED, TOGETHER) / count
    level = _over_groups(scale * plain, PADDED, TOGETHER) / count
    tl.store(of_scale_at + told, along, mask=there)
    tl.store(of_offset_at + told, plain, mask=there)
    # dx summed over the places, without waiting for it.
    of_shift = rate * (scale * plain - level * places - tilt * unit_sum)
    tl.store(of_shift_at + told, of_shift, mask=there)
    for row in range(0, places, ROWS):
        at = (image * places + row + rows)[:, None] * channels + channel[None, :]
        inside = ((row + rows) < places)[:, None] & there[None, :]
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_at + at, mask=inside, other=0.0).to(tl.float32)
        unit = (x - mean[None, :]) * rate[None, :]
        dz = _before_silu(dy, unit * scale[None, :] + offset[None, :])
        dx = rate[None, :] * (dz * scale[None, :] - level[None, :] - unit * tilt[None, :])
        tl.store(dx_at + at, dx.to(dx_at.dtype.element_ty), mask=inside)


@triton.jit
def _sum(one_at, other_at, bias_at, y_at, numbers, CHANNELS: tl.constexpr, SPAN: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * SPAN + tl.arange(0, SPAN)
    inside = at < numbers
    y = tl.load(one_at + at, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(other_at + at, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(bias_at + at % CHANNELS, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_at + at, y.to(y_at.dtype.element_ty), mask=inside)


@triton.jit
def _channel_sums(
    x_at,
    sums_at,
    pixels,
    channels,
    STRETCH: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * STRETCH
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)
    sums = tl.zeros((ROWS, LANES), tl.float32)
    for row in range(0, STRETCH, ROWS):
        pixel = first + row + tl.arange(0, ROWS)
        inside = (pixel < pixels)[:, None] & (channel < channels)[None, :]
        at = pixel[:, None] * channels + channel[None, :]
        sums += tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
    to = sums_at + tl.program_id(0).to(tl.int64) * channels + channel
    tl.store(to, tl.sum(sums, axis=0), mask=channel < channels)
