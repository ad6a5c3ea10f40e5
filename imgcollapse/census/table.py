"""The census of one generation as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from imgcollapse.census.prevalence import HeldOut, Prevalence, prevalence, wilson
from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED

COLUMNS = (
    "generation",
    "class",
    "n",
    "asked",
    "counted",
    "adjusted",
    "frequency",
    "low",
    "high",
    "detection_limit",
    "noise",
    "expected",
    "drift_low",
    "drift_high",
    "status",
    "called",
)


@dataclass(frozen=True)
class Expectation:
    """What a generation's class shares would be with no loss, and with chance alone.

    Attributes:
        without_loss: K shares.
        drift_low: K lower ends of the 95% band of chance alone.
        drift_high: K upper ends.
    """

    without_loss: Sequence[float]
    drift_low: Sequence[float]
    drift_high: Sequence[float]


def count(
    generation: int,
    counted: Tensor,
    probabilities: Tensor,
    asked: Tensor,
    classes: Sequence[str],
    expectation: Expectation,
    held_out: HeldOut,
) -> list[dict[str, Any]]:
    """The census of one generation: a row for each class and one for `UNRECOGNISED`.

    Args:
        generation: its number.
        counted: int16[N], the most probable class, or `UNKNOWN`.
        probabilities: float32[N, K], the oracle's.
        asked: int16[N], the class asked for, or `UNKNOWN` throughout.
        classes: K names.
        expectation: what would be with no loss, and with chance alone.
        held_out: the oracle's record.

    Returns:
        Dictionaries with the keys `COLUMNS`. `frequency` is the corrected share among recognised
        samples, for `UNRECOGNISED` the share among all; None where nothing was recognised. `status`
        and `called` follow from all generations (extinction.py) and are None here.
    """
    n, known = len(counted), counted != UNKNOWN
    found = prevalence(probabilities[known], counted[known], held_out) if known.any() else None
    is_asked = bool((asked != UNKNOWN).any())
    rows = []
    for label, name in enumerate(classes):
        row = dict.fromkeys(COLUMNS) | {"generation": generation, "class": name, "n": n}
        row["asked"] = int((asked == label).sum()) if is_asked else None
        row["counted"] = int((counted == label).sum())
        row["expected"] = float(expectation.without_loss[label])
        row["drift_low"] = float(expectation.drift_low[label])
        row["drift_high"] = float(expectation.drift_high[label])
        rows.append(row | (_estimates(found, label) if found else {}))
    number = n - int(known.sum())
    low, high = wilson(number, n) if n else (None, None)
    last = {"counted": number, "frequency": number / n if n else None, "low": low, "high": high}
    named = {"generation": generation, "class": UNRECOGNIZED, "n": n}
    return [*rows, dict.fromkeys(COLUMNS) | named | last]


def _estimates(found: Prevalence, label: int) -> dict[str, float]:
    return {name: float(values[label]) for name, values in vars(found).items()}
