"""Handwritten digits included in scikit-learn: real images without a download."""

from __future__ import annotations

from typing import Literal

import torch
from sklearn.datasets import load_digits

from imgcollapse.data.base import InMemoryImages, Source, SourceData


class Digits(Source):
    """1,797 scanned digits of 8x8 gray pixels with 17 levels each.

    Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", doi:10.24432/C50P49:
    the test part, from 13 writers.
    """

    kind: Literal["digits"] = "digits"

    def load(self) -> SourceData:
        """Load the images, scaling their levels from 0..16 to 0..255."""
        scans, targets = load_digits(return_X_y=True)
        levels = torch.from_numpy(scans).reshape(-1, 1, 8, 8)
        pixels = (levels * 255 / 16).round().to(torch.uint8)
        labels = torch.from_numpy(targets).to(torch.int16)
        return SourceData(tuple("0123456789"), InMemoryImages(pixels, labels))
