"""Distortions that a marked image may undergo on its way into a training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed

Attack = Callable[[Tensor, Seed], Tensor]
"""uint8[N, C, H, W] => uint8[N, C, H, W], with a seed for its random draws."""


def jpeg(pixels: Tensor, seed: Seed) -> Tensor:
    """Compress as JPEG of quality 75 and decode; a UserError if there are not 1 or 3 channels."""
    if pixels.shape[1] not in (1, 3):
        raise UserError(f"JPEG does not support images of {pixels.shape[1]} channels")
    decoded = torch.empty_like(pixels)
    for image, target in zip(pixels.movedim(1, -1), decoded.movedim(1, -1), strict=True):
        file = BytesIO()
        Image.fromarray(image.squeeze(-1).numpy()).save(file, "JPEG", quality=75)
        values = torch.from_numpy(np.array(Image.open(file)))
        target.copy_(values.view(target.shape))
    return decoded


def crop(pixels: Tensor, seed: Seed) -> Tensor:
    """Shift by two pixels toward a random corner, repeating the border on the opposite sides."""
    _, _, height, width = pixels.shape
    moves = torch.randint(2, (len(pixels), 2), generator=seed.torch()) * 4 - 2
    rows = (torch.arange(height) + moves[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width) + moves[:, 1:]).clamp(0, width - 1)
    image = torch.arange(len(pixels))[:, None, None, None]
    channel = torch.arange(pixels.shape[1])[:, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def resize(factor: float) -> Attack:
    """Return an attack that scales by a factor and back (bilinear, antialiased)."""

    def attack(pixels: Tensor, seed: Seed) -> Tensor:
        height, width = pixels.shape[2:]
        scaled = max(1, round(factor * height)), max(1, round(factor * width))
        return _resized(_resized(pixels, scaled), (height, width))

    return attack


def noise(pixels: Tensor, seed: Seed) -> Tensor:
    """Add Gaussian noise with a standard deviation of 1% of the gray scale."""
    added = torch.randn(pixels.shape, generator=seed.torch()) * 2.55
    return (pixels.float() + added).round().clamp(0, 255).to(torch.uint8)


ATTACKS: Mapping[str, Attack] = {
    "jpeg75": jpeg,
    "crop2": crop,
    "resize75": resize(0.75),
    "resize150": resize(1.5),
    "noise1": noise,
}


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    if not len(pixels):
        return pixels.new_empty(*pixels.shape[:2], *size)
    resized = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
