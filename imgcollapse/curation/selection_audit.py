"""What was kept of each class, beside a blind choice of as many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scipy.stats import hypergeom
from torch import Tensor

from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED
from imgcollapse.core.lineage_images import REMOVED, Selection

COLUMNS = ("generation", "class", "n", "kept", "expected", "low", "high", "relabelled")


def selection_audit(
    generation: int, kept: Selection, counted: Tensor, labels: Tensor, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows with the keys `COLUMNS`, for each class and for what is like no real image.

    Of N images, n of a class, M were kept. A choice that is blind to the class keeps n M / N of it,
    hypergeometrically: `low` to `high` is its central 95%.

    Args:
        generation: whose images they are.
        kept: what entered the pool.
        counted: int16[N], what the oracle names each image of the generation, or `UNKNOWN`.
        labels: int16[N], what they would have been trained as had nobody looked.
        classes: K names.
    """
    entered = kept.rows[kept.rows != REMOVED].long()
    changed = kept.labels[kept.rows != REMOVED] != labels[entered]
    total, chosen = len(counted), len(entered)
    rows = []
    for label, name in [*enumerate(classes), (UNKNOWN, UNRECOGNIZED)]:
        n, of_class = int((counted == label).sum()), counted[entered] == label
        low, high = hypergeom(total, n, chosen).interval(0.95) if total else (0, 0)
        rows.append(
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
    return rows
