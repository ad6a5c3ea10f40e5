"""What may happen to a marked image on its way into a training set."""

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
"""uint8[N, C, H, W] => the same, with a seed for what is random."""


def jpeg(pixels: Tensor, seed: Seed) -> Tensor:
    """Compressed as JPEG of quality 75 and read again.

    Raises:
        UserError: there are neither one nor three channels.
    """
    if pixels.shape[1] not in (1, 3):
        raise UserError(f"JPEG has no images of {pixels.shape[1]} channels")
    back = torch.empty_like(pixels)
    for image, place in zip(pixels.movedim(1, -1), back.movedim(1, -1), strict=True):
        file = BytesIO()
        Image.fromarray(image.squeeze(-1).numpy()).save(file, "JPEG", quality=75)
        read = torch.from_numpy(np.array(Image.open(file)))
        place.copy_(read.view(place.shape))
    return back


def crop(pixels: Tensor, seed: Seed) -> Tensor:
    """Two rows and two columns cut off at a random corner; the image moves there, and the opposite
    border is repeated to fill the gap.
    """
    _, _, height, width = pixels.shape
    moves = torch.randint(2, (len(pixels), 2), generator=seed.torch()) * 4 - 2
    rows = (torch.arange(height) + moves[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width) + moves[:, 1:]).clamp(0, width - 1)
    image = torch.arange(len(pixels))[:, None, None, None]
    channel = torch.arange(pixels.shape[1])[:, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def resize(factor: float) -> Attack:
    """Made smaller or larger by a factor, and as large as before again (bilinear, antialiased)."""

    def attack(pixels: Tensor, seed: Seed) -> Tensor:
        height, width = pixels.shape[2:]
        there = max(1, round(factor * height)), max(1, round(factor * width))
        return _resized(_resized(pixels, there), (height, width))

    return attack


def noise(pixels: Tensor, seed: Seed) -> Tensor:
    """Gaussian noise of 1% of the gray scale on every value."""
    drawn = torch.randn(pixels.shape, generator=seed.torch()) * 2.55
    return (pixels.float() + drawn).round().clamp(0, 255).to(torch.uint8)


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
    shown = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
    return shown.round().clamp(0, 255).to(torch.uint8)
