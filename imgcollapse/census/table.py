"""The rows of census.csv for one generation, and the status of a class over generations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from imgcollapse.census.prevalence import HeldOut, Prevalence, prevalence, score_interval
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

Status = Literal["present", "below-detection", "extinct"]

RUNNING = 3
"""Consecutive generations that make a call. A class at its detection limit is missed in one
generation with a probability of some 5%, in three with one in thousands."""


@dataclass(frozen=True)
class Expectation:
    """Expected class shares of a generation, with no loss and under drift alone.

    Attributes:
        without_loss: K shares.
        drift_low: K lower ends of the 95% band of drift alone.
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
    """Returns the census of one generation: a row for each class and one for `UNRECOGNIZED`.

    Args:
        generation: its number.
        counted: int16[N], the most probable class, or `UNKNOWN`.
        probabilities: float32[N, K], the oracle's.
        asked: int16[N], the class asked for, or `UNKNOWN` throughout.
        classes: K names.
        expectation: the class shares with no loss, and under drift alone.
        held_out: the oracle's predictions on held-out images.

    Returns:
        Dictionaries with the keys `COLUMNS`. `frequency` is the corrected share among recognized
        samples, for `UNRECOGNIZED` the share among all; None where nothing was recognized. `status`
        and `called` follow from all generations (`statuses`) and are None here.
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
    last: dict[str, Any] = {"counted": n - int(known.sum())}
    if n:
        share = last["frequency"] = last["counted"] / n
        (last["low"],), (last["high"],) = (
            end.tolist() for end in score_interval(np.array([share]), n, np.zeros(1))
        )
    named = {"generation": generation, "class": UNRECOGNIZED, "n": n}
    return [*rows, dict.fromkeys(COLUMNS) | named | last]


def _estimates(found: Prevalence, label: int) -> dict[str, float]:
    return {name: float(values[label]) for name, values in vars(found).items()}


def statuses(
    seen: Iterable[bool], informative: Iterable[bool]
) -> Iterator[tuple[Status, int | None]]:
    """Yields the status of a class in each generation, from that generation and those before.

    A class that is missed in `RUNNING` consecutive informative generations is extinct, from the
    last of them on. It is alive again only when it is seen in as many. A generation that is not
    informative is skipped.

    Args:
        seen: generation by generation from 0, whether the class is distinguished from an absent
            one.
        informative: whether it would be, had it the share that it has with no loss.

    Yields:
        Its status, and for an extinct class the generation of the call.
    """
    called, missed, back = None, 0, 0
    for generation, (here, counts) in enumerate(zip(seen, informative, strict=True)):
        if here:
            missed, back = 0, back + 1
        else:
            missed, back = missed + counts, 0
        if called is None and missed >= RUNNING:
            called = generation
        elif called is not None and back >= RUNNING:
            called = None
        if called is not None:
            yield "extinct", called
        else:
            yield ("present" if here else "below-detection"), None
