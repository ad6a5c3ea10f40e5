"""A study's filters, one after another: each is shown what those before it have left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import REMOVED, Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput


def curate(filters: Sequence[Filter], seen: FilterInput, seed: Seed) -> Selection:
    """What of a whole generation enters the pool.

    Args:
        filters: in order.
        seen: all images of the generation, in order.
        seed: names the draws.

    Raises:
        UserError: a filter cannot judge them.
    """
    rows, labels = seen.rows.clone(), seen.images.labels.clone()
    for place, judge in enumerate(_judges(filters, seen.generation)):
        now = replace(seen, images=Images(seen.images.pixels, labels))
        kept = judge.keep(now[rows[rows != REMOVED].long()], seed / place / judge.kind)
        labels = labels.index_put((kept.rows.long(),), kept.labels)
        rows = _without(rows, kept.rows) if judge.leaves_gaps else kept.rows
    trained_as = torch.where(rows != REMOVED, labels[rows.long().clamp(min=0)], 0)
    return Selection(rows, trained_as.to(labels.dtype))


def mark(filters: Sequence[Filter], drawn: Images, seed: Seed) -> Images:
    """A model's output as it leaves the house: marked, where a filter marks."""
    for place, judge in enumerate(filters):
        drawn = judge.mark(drawn, seed / place)
    return drawn


def simulated_selection(
    filters: Sequence[Filter], generation: int, n: int, seed: Seed
) -> Tensor | None:
    """Rows of n images that look all alike which would enter the pool: int32[M], with gaps.

    None where that is every one of them, in order: chance alone lives as if nobody filtered.
    """
    judges = [f for f in _judges(filters, generation) if not _takes_all(f)]
    if not judges:
        return None
    rows = torch.arange(n, dtype=torch.int32)
    for place, judge in enumerate(judges):
        left = rows[rows != REMOVED]
        kept = left[judge.null_selection(generation, len(left), seed / place / judge.kind)]
        rows = _without(rows, kept) if judge.leaves_gaps else kept
    return rows


def _judges(filters: Sequence[Filter], generation: int) -> list[Filter]:
    return [f for f in filters if f.filters_real or generation > 0]


def _takes_all(judge: Filter) -> bool:
    return type(judge).null_selection is Filter.null_selection and judge.keep_fraction() == 1


def _without(rows: Tensor, kept: Tensor) -> Tensor:
    """The rows in their places, with a gap for each that was not kept."""
    return torch.where(torch.isin(rows, kept), rows, REMOVED)
