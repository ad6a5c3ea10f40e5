"""An order of samples that does not depend on arrival, and the jackknife over blocks of them."""

from __future__ import annotations

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, t_interval

BLOCKS = 10  # blocks of a delete-a-block jackknife, so 9 degrees of freedom

_ODD = 0x9E3779B97F4A7C15 - (1 << 64)


def hash_order(features: Tensor) -> Tensor:
    """Sort float64[N, D] rows by a hash of their bits.

    So that results do not depend on batches or on order, to the last bit, and so that any run of
    rows is as good as a random subset: sorting by value would make every block a stratum, and the
    copies of one image would lie together.
    """
    rows = features.double()
    mixed = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for column in rows.T.contiguous().view(torch.int64):
        mixed = _mix(mixed ^ column)
    mixed, order = mixed.sort(stable=True)
    place = torch.arange(len(rows), device=rows.device)
    begins = torch.ones_like(mixed, dtype=torch.bool)
    begins[1:] = mixed[1:] != mixed[:-1]
    copy = place - torch.where(begins, place, 0).cummax(0).values
    return rows[order[_mix(mixed ^ copy).argsort(stable=True)]]


def _mix(bits: Tensor) -> Tensor:
    bits = bits * _ODD  # wraps around: a hash modulo 2^64
    return bits ^ (bits >> 29)


def without_blocks(n: int) -> list[Tensor]:
    """Row numbers of n rows without each of the `BLOCKS` blocks; block b is every 10th from b."""
    rows = torch.arange(n)
    return [rows[rows % BLOCKS != block] for block in range(BLOCKS)]


def jackknife_variance(without: Tensor) -> float:
    """(G - 1)/G sum (t_b - mean t)^2 of float64[G] values that each leave out a part.

    Busing, Meijer & van der Leeden 1999, doi:10.1023/A:1008800423698, equation 5.
    """
    return float((len(without) - 1) * without.var(correction=0))


def jackknife(value: float, without: Tensor, span: tuple[float, float]) -> Estimate:
    """A value and float64[BLOCKS], the same without each block => its 95% interval.

    A value that no block changes gets no interval.
    """
    # Torch's square root, not math's: they differ in the last bit.
    error = torch.tensor(jackknife_variance(without), dtype=torch.float64).sqrt()
    return t_interval(value, float(error), BLOCKS - 1, span)
