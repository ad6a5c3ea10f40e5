"""The tables: each class at the end, and what can be said of why."""

from __future__ import annotations

from typing import Any

import numpy as np

from imgcollapse.drift import ExtinctionTime
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.drift_test import DriftTest, told
from imgcollapse.report.formatting import last_seen_text, p_value, percent, signed
from imgcollapse.report.survival import lives

NONE = "–"


def class_rows(counts: CensusArrays) -> list[dict[str, Any]]:
    """One row for each class of the table of the census, common to rare."""
    real = counts.training / counts.training.sum()
    several = len(counts.lineages) > 1
    return [
        {
            "name": name,
            "real": percent(real[k]),
            "training": int(counts.training[k]),
            "share": _share(counts, k),
            "limit": _mean_percent(counts.limit[:, counts.last, k]),
            "last_seen": last_seen_text(counts.last_seen[:, k]),
            "status": _status(counts, k),
            "half": _half(counts, k) if several else "",
            "gone": counts.gone[:, k].mean(),
        }
        for k, name in enumerate(counts.classes)
    ]


def verdict_rows(counts: CensusArrays, verdict: DriftTest) -> list[dict[str, Any]]:
    """One row for each class of the table "chance, or the model", common to rare."""
    replicates, selection = len(verdict.null.shares), verdict.selection
    rows = []
    for k, name in enumerate(counts.classes):
        words, p = verdict.words(k), told(selection.p, k)
        rows.append(
            {
                "name": name,
                "s": _coefficient(verdict, k),
                "p": NONE if p is None else p_value(p, replicates),
                "corrected": NONE if p is None else f"{verdict.corrected[k]:.2g}",
                "words": words,
                "model": words.startswith("the model"),
                "left": _left(verdict.left[k]) if verdict.left else "",
            }
        )
    return rows


def _share(counts: CensusArrays, k: int) -> str:
    """The share in the last generation with its interval; of several lineages mean and range."""
    shares = counts.frequency[:, counts.last, k]
    shares = shares[np.isfinite(shares)]
    if not len(shares):
        return "undefined"
    low, high = shares.min(), shares.max()
    if len(counts.lineages) == 1:
        low, high = counts.low[0, counts.last, k], counts.high[0, counts.last, k]
    return f"{percent(shares.mean())} ({percent(low)} to {percent(high)})"


def _mean_percent(values: np.ndarray) -> str:
    there = values[np.isfinite(values)]
    return percent(there.mean()) if len(there) else NONE


def _status(counts: CensusArrays, k: int) -> str:
    extinct, gone = counts.extinct[:, counts.last, k], counts.gone[:, k]
    lineages = len(gone)
    if lineages > 1:
        below = (gone & ~extinct).sum()
        parts = [f"extinct in {extinct.sum()}"] * bool(extinct.any())
        parts += [f"below detection in {below}"] * bool(below)
        return f"{', '.join(parts)} of {lineages}" if parts else "present in all"
    if extinct[0]:
        return f"extinct (called in {counts.called[0, k]})"
    return "below detection" if gone[0] else "present"


def _half(counts: CensusArrays, k: int) -> str:
    """Median survival over lineages."""
    median = lives(counts, k).median
    return NONE if median is None else str(median)


def _coefficient(verdict: DriftTest, k: int) -> str:
    selection = verdict.selection
    s, low, high = (told(x, k) for x in (selection.s, selection.low, selection.high))
    if low is None:
        return NONE if high is None else f"below {signed(high)}"
    if high is None or s is None:
        return f"above {signed(low)}"
    return f"{signed(s)} ({signed(low)} to {signed(high)})"


def _left(times: tuple[ExtinctionTime, ExtinctionTime, ExtinctionTime]) -> str:
    """The median from the estimate, and from both ends of its interval."""
    estimate, low, high = (_median(time) for time in times)
    said = "none left" if estimate == "0" else estimate
    return f"{said} ({low} to {high})" if low != high else said


def _median(time: ExtinctionTime) -> str:
    if time.median is not None:
        return str(time.median)
    return "never" if time.lost == 0 else f"over {time.horizon:,}"
