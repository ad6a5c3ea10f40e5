"""Applies a study's filters one after another, and counts what was kept of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from scipy.stats import hypergeom
from torch import Tensor

from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED, Images
from imgcollapse.core.lineage_images import REMOVED, Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput

COLUMNS = ("generation", "class", "n", "kept", "expected", "low", "high", "relabelled")
"""Columns of curation.csv."""


def curate(filters: Sequence[Filter], inputs: FilterInput, seed: Seed) -> Selection:
    """Apply filters to a whole generation, in order; each sees what those before it have kept.

    Raises:
        UserError: a filter cannot be applied to these images.
    """
    rows, labels = inputs.rows.clone(), inputs.images.labels.clone()
    for i, each in enumerate(_applied(filters, inputs.generation)):
        relabeled = replace(inputs, images=Images(inputs.images.pixels, labels))
        kept = each.checked_keep(relabeled[rows[rows != REMOVED].long()], seed / i / each.kind)
        labels = labels.index_put((kept.rows.long(),), kept.labels)
        rows = _with_gaps(rows, kept.rows) if each.leaves_gaps else kept.rows
    final = torch.where(rows != REMOVED, labels[rows.long().clamp(min=0)], 0)
    return Selection(rows, final.to(labels.dtype))


def mark(filters: Sequence[Filter], samples: Images, seed: Seed) -> Images:
    """Return a model's output with the watermarks of all filters that embed one."""
    for i, each in enumerate(filters):
        samples = each.checked_mark(samples, seed / i)
    return samples


def simulated_selection(
    filters: Sequence[Filter], generation: int, n: int, seed: Seed
) -> Tensor | None:
    """Return the rows of n images that are kept if all look alike: int32[M], with gaps.

    None if all rows are kept, in order: then the null model needs no filters.
    """
    applied = [each for each in _applied(filters, generation) if not _keeps_all(each)]
    if not applied:
        return None
    rows = torch.arange(n, dtype=torch.int32)
    for i, each in enumerate(applied):
        left = rows[rows != REMOVED]
        kept = left[each.null_selection(generation, len(left), seed / i / each.kind)]
        rows = _with_gaps(rows, kept) if each.leaves_gaps else kept
    return rows


def selection_audit(
    generation: int, kept: Selection, counted: Tensor, labels: Tensor, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Compare what was kept of each class with a random selection; rows with the keys `COLUMNS`.

    Of N images, n of a class, M were kept. A selection independent of the class keeps n M / N of
    it on average, with a hypergeometric distribution: `low` to `high` is its central 95%.
    `counted` is int16[N], predicted by the oracle; `labels` int16[N], those before any filter.
    """
    rows = kept.rows[kept.rows != REMOVED].long()
    changed = kept.labels[kept.rows != REMOVED] != labels[rows]
    total, chosen = len(counted), len(rows)
    audit = []
    for label, name in [*enumerate(classes), (UNKNOWN, UNRECOGNIZED)]:
        n, of_class = int((counted == label).sum()), counted[rows] == label
        low, high = hypergeom(total, n, chosen).interval(0.95) if total else (0, 0)
        audit.append(
            {
                "generation": generation,
                "class": name,
                "n": n,
                "kept": int(of_class.sum()),
                "expected": n * chosen / total if total else 0.0,
                "low": int(low),
                "high": int(high),
                "relabelled": int((changed & of_class).sum()),
            }
        )
    return audit


def _applied(filters: Sequence[Filter], generation: int) -> list[Filter]:
    return [each for each in filters if each.filters_real or generation > 0]


def _keeps_all(each: Filter) -> bool:
    return type(each).null_selection is Filter.null_selection and each.keep_fraction() == 1


def _with_gaps(rows: Tensor, kept: Tensor) -> Tensor:
    """The rows, with `REMOVED` in place of each that was not kept."""
    return torch.where(torch.isin(rows, kept), rows, REMOVED)
