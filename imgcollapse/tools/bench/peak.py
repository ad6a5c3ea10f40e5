"""How fast the machine multiplies matrices, and how many operations a piece of work asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def matmul_peak(
    device: torch.device, dtype: torch.dtype, seconds: float, side: int | None = None
) -> float:
    """FLOP/s of the fastest product of two square matrices.

    Args:
        device: where.
        dtype: their type.
        seconds: how long products are taken.
        side: rows and columns; none takes 2,048, and 8,192 on a GPU.
    """
    side = side or (8192 if device.type == "cuda" else 2048)
    # Of random numbers: a GPU multiplies ones faster than it multiplies anything else.
    draw = torch.Generator(device).manual_seed(0)
    one, other = (
        torch.randn(side, side, generator=draw, device=device).to(dtype) for _ in range(2)
    )
    best, end = float("inf"), None
    while end is None or time.perf_counter() < end:
        begun = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        if end is None:  # the first product sets the libraries up
            end = now + seconds
        else:
            best = min(best, now - begun)
    return 2 * side**3 / best


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the products and convolutions in some work, backward included.

    Counted from shapes: what is element by element costs time and counts nothing.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
