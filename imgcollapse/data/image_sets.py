"""Real images in memory, and a chosen few of somebody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, ImageSet


class InMemoryImages(Images):
    """A stock that holds its pixels: uint8[N, C, H, W] and int16[N] labels."""

    def read(self, rows: Tensor) -> Tensor:
        """int64[n] row numbers => uint8[n, C, H, W]."""
        return self.pixels[rows]


@dataclass(frozen=True)
class ImageSubset:
    """Some rows of another stock, read when asked for.

    Attributes:
        stock: where the pixels are.
        rows: int64[N], rows of `stock`.
        labels: int16[N], which may be numbered differently than the stock's own.
    """

    images: ImageSet
    rows: Tensor
    labels: Tensor

    def read(self, rows: Tensor) -> Tensor:
        """int64[n] row numbers of this subset => uint8[n, C, H, W]."""
        return self.images.read(self.rows[rows])


def stack(images: Sequence[np.ndarray], labels: Sequence[int], where: str) -> InMemoryImages:
    """Lay decoded images, each uint8[H, W, C], side by side.

    Args:
        images: N of them.
        labels: one class number each.
        where: what to call their source in an error.

    Raises:
        UserError: they are not all of one size.
    """
    sizes = Counter(image.shape[:2] for image in images)
    if len(sizes) > 1:
        few = " and ".join(f"{w}x{h}" for (h, w), _ in sizes.most_common(2))
        raise UserError(
            f"{where}: images have {len(sizes)} different sizes, such as {few};"
            " set data.size to the side all of them shall get, such as data.size=32"
        )
    if not images:
        return InMemoryImages(torch.empty(0, 1, 1, 1, dtype=torch.uint8), torch.empty(0).short())
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return InMemoryImages(pixels, torch.tensor(labels, dtype=torch.int16))
