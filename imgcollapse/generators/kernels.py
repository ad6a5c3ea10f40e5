"""Kernels in triton for images whose channels come last.

A program of a norm holds some groups of one image: rows are places, lanes are channels. All of
them read and write the images' own type, compute in float32, and add in one order.
"""

from __future__ import annotations

from typing import Any

import triton  # pyright: ignore[reportMissingImports] - it is not for every system
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _lanes(groups, EACH: tl.constexpr, PADDED: tl.constexpr, TOGETHER: tl.constexpr):
    """Group and channel of a lane, and a mask of the lanes that have one."""
    lane = tl.arange(0, TOGETHER * PADDED)
    group = tl.program_id(1) * TOGETHER + lane // PADDED
    if EACH == PADDED:
        # The same as below, in a way that lets the compiler see neighbors, and load eight at once.
        channel = tl.program_id(1) * TOGETHER * PADDED + lane
        there = channel < groups * EACH
    else:
        channel = group * EACH + lane % PADDED
        there = (lane % PADDED < EACH) & (group < groups)
    return group, channel, there


@triton.jit
def _tile(image, rows, places, channels, channel, there):
    """Addresses of some positions of an image, and a mask of those that exist."""
    at = (image * places + rows)[:, None] * channels + channel[None, :]
    return at, (rows < places)[:, None] & there[None, :]


@triton.jit
def _over_groups(x, PADDED: tl.constexpr, TOGETHER: tl.constexpr):
    """Sums over each group's lanes, broadcast to every lane."""
    sums = tl.sum(tl.reshape(x, (TOGETHER, PADDED)), axis=1)
    told = tl.broadcast_to(tl.expand_dims(sums, 1), (TOGETHER, PADDED))
    return tl.reshape(told, (TOGETHER * PADDED,))


@triton.jit
def _shift_of(shift_at, told, there):
    """The shift that is added to every channel of an image, if there is one."""
    if shift_at is None:
        shift = tl.zeros_like(told).to(tl.float32)
    else:
        shift = tl.load(shift_at + told, mask=there, other=0.0).to(tl.float32)
    return shift


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
    # Sums are of what differs from the group's first number: of large ones little would be left.
    first = group * EACH
    present = group < groups
    pivot = tl.load(x_at + image * places * channels + first, mask=present, other=0.0)
    pivot = pivot.to(tl.float32) + _shift_of(shift_at, image * channels + first, present)
    sums = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    squares = tl.zeros((ROWS, TOGETHER * PADDED), tl.float32)
    for row in range(0, places, ROWS):
        at, inside = _tile(image, row + rows, places, channels, channel, there)
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        x = tl.where(inside, x + (shift - pivot)[None, :], 0.0)
        sums += x
        squares += x * x
    count = places * EACH
    beyond = _over_groups(tl.sum(sums, axis=0), PADDED, TOGETHER) / count
    variance = _over_groups(tl.sum(squares, axis=0), PADDED, TOGETHER) / count - beyond * beyond
    mean = pivot + beyond
    rate = 1 / tl.sqrt(tl.maximum(variance, 0.0) + eps)
    first_of_group = there & (channel == group * EACH)
    tl.store(mean_at + image * groups + group, mean, mask=first_of_group)
    tl.store(rate_at + image * groups + group, rate, mask=first_of_group)
    slope = rate * tl.load(scale_at + channel, mask=there, other=0.0)
    level = tl.load(offset_at + channel, mask=there, other=0.0) + (shift - mean) * slope
    for row in range(0, places, ROWS):
        at, inside = _tile(image, row + rows, places, channels, channel, there)
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        z = x * slope[None, :] + level[None, :]
        tl.store(y_at + at, (z * tl.sigmoid(z)).to(y_at.dtype.element_ty), mask=inside)


@triton.jit
def _before_silu(dy, z):
    """The gradient of z, from that of silu(z)."""
    share = tl.sigmoid(z)
    return dy * share * (1 + z * (1 - share))


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
        at, inside = _tile(image, row + rows, places, channels, channel, there)
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
    # Dx summed over the places, without waiting for it.
    of_shift = rate * (scale * plain - level * places - tilt * unit_sum)
    tl.store(of_shift_at + told, of_shift, mask=there)
    for row in range(0, places, ROWS):
        at, inside = _tile(image, row + rows, places, channels, channel, there)
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_at + at, mask=inside, other=0.0).to(tl.float32)
        unit = (x - mean[None, :]) * rate[None, :]
        dz = _before_silu(dy, unit * scale[None, :] + offset[None, :])
        dx = rate[None, :] * (dz * scale[None, :] - level[None, :] - unit * tilt[None, :])
        tl.store(dx_at + at, dx.to(dx_at.dtype.element_ty), mask=inside)


def _add(one_at, other_at, bias_at, y_at, numbers, CHANNELS: tl.constexpr, SPAN: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * SPAN + tl.arange(0, SPAN)
    inside = at < numbers
    y = tl.load(one_at + at, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(other_at + at, mask=inside, other=0.0).to(tl.float32)
    y += tl.load(bias_at + at % CHANNELS, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_at + at, y.to(y_at.dtype.element_ty), mask=inside)


def _channel_sums(
    x_at, sums_at, pixels, channels, STRETCH: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr
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


norm: Any = triton.jit(_norm)  # silu(group_norm(x + shift)), and each group's mean and 1 / sd
norm_backward: Any = triton.jit(_norm_backward)
"""The gradient of that, and what each image adds to those of scale, offset and shift."""
add: Any = triton.jit(_add)  # two images and a bias
channel_sums: Any = triton.jit(_channel_sums)  # what stretches of pixels add to each channel's sum
