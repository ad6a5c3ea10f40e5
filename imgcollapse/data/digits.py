"""Handwritten digits that come with scikit-learn: real images without a network."""

from __future__ import annotations

from typing import Literal

import torch
from sklearn.datasets import load_digits

from imgcollapse.data.base import Source, SourceData
from imgcollapse.data.image_sets import InMemoryImages


class Digits(Source):
    """1,797 scanned digits of 8x8 gray pixels with 17 levels each.

    Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", doi:10.24432/C50P49:
    the test part, from 13 writers.
    """

    kind: Literal["digits"] = "digits"

    def load(self) -> SourceData:
        """Open the source; its 0..16 levels become 0..255."""
        scans, names = load_digits(return_X_y=True)
        levels = torch.from_numpy(scans).reshape(-1, 1, 8, 8)
        pixels = (levels * 255 / 16).round().to(torch.uint8)
        labels = torch.from_numpy(names).to(torch.int16)
        return SourceData(tuple("0123456789"), InMemoryImages(pixels, labels))
