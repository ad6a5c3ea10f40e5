"""Classes, words, pixels: in which generation each of three readings first notices something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.distances import series
from imgcollapse.report.formatting import listed

TAIL = "vocab_tail_mass"
NEVER = -1


def first_detections(counts: CensusArrays, metrics: pd.DataFrame) -> dict[str, Any]:
    """The three readings side by side: a table and one sentence."""
    found = {
        "the census": (
            "a class's interval lies outside the band of chance alone",
            first(_census(counts)),
        ),
        "the vocabulary": (
            "the interval of the rare words' share lies outside "
            + ("the band of chance alone" if _has(metrics, f"{TAIL}_chance") else "its floor"),
            first(_tail(metrics, counts)),
        ),
        "FID": ("its interval lies above its floor", first(_fid(metrics, counts))),
    }
    return {
        "rows": [
            {"name": name, "rule": rule, "first": _told(when, counts.last)}
            for name, (rule, when) in found.items()
        ],
        "sentence": sentence({name: when for name, (_, when) in found.items()}, counts.last),
    }


def first(notices: NDArray[np.bool_]) -> NDArray[np.int64]:
    """bool[L, G] => the first generation from 1 on in which it notices: int64[L]; -1 for none."""
    later = notices[:, 1:]
    if not later.shape[1]:
        return np.full(len(notices), NEVER)
    return np.where(later.any(axis=1), later.argmax(axis=1) + 1, NEVER)


def sentence(firsts: dict[str, NDArray[np.int64]], last: int) -> str:
    """Which noticed first, in one sentence; `firsts` are int64[L] by name."""
    if last == 0:
        return "No model has been trained yet, so there is nothing to notice."
    when = np.stack(list(firsts.values()))
    names, lineages = list(firsts), when.shape[1]
    earliest = np.where(when == NEVER, last + 1, when)
    ahead = (earliest == earliest.min(axis=0)) & (when != NEVER)
    if not ahead.any():
        return f"None of the three notices anything in {_generations(last)}."
    if lineages == 1:
        leads = [name for name, is_ahead in zip(names, ahead[:, 0], strict=True) if is_ahead]
        verb = "notices" if len(leads) == 1 else "notice"
        parts = [f"{listed(leads)} {verb} first, in generation {earliest[:, 0].min()}"]
        later = [i for i in earliest[:, 0].argsort(kind="stable") if not ahead[i, 0]]
        silent = [names[i] for i in later if when[i, 0] == NEVER]
        parts += [f"{names[i]} in {when[i, 0]}" for i in later if when[i, 0] != NEVER]
        if silent:
            parts.append(f"{listed(silent)} {'does' if len(silent) == 1 else 'do'} not")
        text = "; ".join(parts) + "."
    else:
        parts = [f"{name} in {n}" for name, n in zip(names, ahead.sum(axis=1), strict=True)]
        none = int((~ahead.any(axis=0)).sum())
        text = f"of {lineages} lineages, first to notice, or among the first, is {listed(parts)}"
        text += f"; in {none} none of the three notices anything." if none else "."
    return text[0].upper() + text[1:]


def _census(counts: CensusArrays) -> NDArray[np.bool_]:
    # What is not defined is not outside.
    outside = (counts.high < counts.drift_low) | (counts.low > counts.drift_high)
    return np.any(outside, axis=2)


def _tail(metrics: pd.DataFrame, counts: CensusArrays) -> NDArray[np.bool_]:
    low, high = _interval(metrics, TAIL, counts)
    band = f"{TAIL}_chance" if _has(metrics, f"{TAIL}_chance") else f"{TAIL}_floor"
    least, most = _interval(metrics, band, counts)
    return (high < least) | (low > most)


def _fid(metrics: pd.DataFrame, counts: CensusArrays) -> NDArray[np.bool_]:
    low, _ = _interval(metrics, "fid", counts)
    return low > _interval(metrics, "fid_floor", counts)[1]


def _interval(
    metrics: pd.DataFrame, metric: str, counts: CensusArrays
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends, float64[L, G]; a value that nothing varied about is its own interval."""
    shape = len(counts.lineages), counts.last + 1
    value, low, high = (
        np.full(shape, np.nan) if found is None else found
        for found in (series(metrics, metric, end, shape[1]) for end in ("value", "low", "high"))
    )
    return np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def _has(metrics: pd.DataFrame, metric: str) -> bool:
    return bool((metrics["metric"] == metric).any())


def _told(when: NDArray[np.int64], last: int) -> str:
    seen = when[when != NEVER]
    if not len(seen):
        return f"not in {_generations(last)}"
    ends = sorted({int(seen.min()), int(seen.max())})
    said = "generation " + " to ".join(str(g) for g in ends)
    return said if len(when) == 1 else f"{said}, in {len(seen)} of {len(when)} lineages"


def _generations(last: int) -> str:
    return f"{last} generation{'' if last == 1 else 's'}"
