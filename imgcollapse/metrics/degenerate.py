"""Samples that have come to their end: all alike, or black and white throughout."""

from __future__ import annotations

from torch import Tensor


def degenerate(pixels: Tensor, before: Tensor) -> str | None:
    """Say in words if samples are all one image, or have no shades left; else None.

    Late collapse looks so, and a broken training as well: to be told, and no error.

    Args:
        pixels: uint8[N, C, H, W] samples.
        before: uint8[M, C, H, W] of the generation before: what was so there is no news.
    """
    if _alike(pixels) and not _alike(before):
        return f"all {len(pixels)} samples are the same image"
    if _saturated(pixels) and not _saturated(before):
        return "every pixel of the samples is 0 or 255"
    return None


def _alike(pixels: Tensor) -> bool:
    return len(pixels) > 1 and bool((pixels == pixels[:1]).all())


def _saturated(pixels: Tensor) -> bool:
    return bool(((pixels == 0) | (pixels == 255)).all())
