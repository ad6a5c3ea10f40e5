"""The images that both sides of a comparison are given, and the data set a user makes of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from imgcollapse.core.images import Images
from imgcollapse.data import Digits, PaperDogs

DRAWN = 4096
"""Different dogs at most; of more images they are repeated, for drawing them takes a while."""


def dogs(n: int, size: int, gray: bool = False, held_out: bool = False) -> Images:
    """n paper dogs of `size` pixels, or their means over the colours; `held_out` are others."""
    pool = PaperDogs(size=size).load()
    stock = pool.test if held_out and pool.test else pool.train
    rows = torch.arange(min(n, DRAWN))
    pixels, repeated = stock.read(rows), torch.arange(n) % len(rows)
    if gray:
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    return Images(pixels[repeated], stock.labels[rows][repeated])


def digits(n: int, held_out: bool = False) -> Images:
    """n scanned digits of 8 pixels, of which a fifth is held out; repeated where n is more."""
    stock = Digits().load().train
    rows = torch.arange(len(stock.labels))
    rows = rows[(rows % 5 == 0) == held_out]
    rows = rows[torch.arange(n) % len(rows)]
    return Images(stock.read(rows), stock.labels[rows])


class Pictures(Dataset[Tensor]):
    """Images as a user's data set holds them: PIL pictures, transformed when they are asked for."""

    def __init__(self, images: Images, transform: Callable[[Image.Image], Tensor]) -> None:
        channels = images.shape[0]
        mode = slice(None) if channels == 3 else 0
        arrays = images.pixels.permute(0, 2, 3, 1).numpy()
        self.pictures = [Image.fromarray(array[..., mode]) for array in arrays]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.pictures[index])
