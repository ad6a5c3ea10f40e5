"""How a watermark did, by generation: found, mistaken, visible, learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgcollapse.report.formatting import percent

Numbers = NDArray[np.float64]

COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("watermark_tpr", "marked samples found", percent),
    ("watermark_fpr", "real images found", percent),
    ("watermark_psnr", "PSNR, dB", lambda value: f"{value:.1f}"),
    ("watermark_radioactivity", "found before marking", percent),
    ("watermark_radioactivity_p", "p of its key", lambda value: f"{value:.2g}"),
)
"""Metrics of the watermark filter, with the heads of their columns."""


def marked(metrics: pd.DataFrame, last: int) -> dict[str, Any] | None:
    """A table with a row for each generation of models; None where nothing was marked."""
    found = metrics.loc[metrics["metric"].isin([name for name, _, _ in COLUMNS])]
    if found.empty:
        return None
    several = "lineage" in found and found["lineage"].nunique() > 1
    rows = [
        {
            "generation": g,
            "cells": [_said(_at(found, name, g), show, several) for name, _, show in COLUMNS],
        }
        for g in range(1, last + 1)
    ]
    return {"heads": [head for _, head, _ in COLUMNS], "rows": rows, "several": several}


def _at(metrics: pd.DataFrame, name: str, g: int) -> Numbers:
    """float64[L, 3]: value, low and high, where there is a value."""
    rows = metrics.loc[(metrics["metric"] == name) & (metrics["generation"] == g)]
    found = rows[["value", "low", "high"]].to_numpy(np.float64)
    return found[np.isfinite(found[:, 0])]


def _said(found: Numbers, show: Callable[[float], str], several: bool) -> str:
    """A value with its interval; of several lineages mean and range."""
    if not len(found):
        return "–"
    value, low, high = found.T
    ends = [float(end) for end in ((value.min(), value.max()) if several else (low[0], high[0]))]
    said = show(float(value.mean()))
    if not np.isfinite(ends).all() or ends[0] == ends[1]:
        return said
    return f"{said} ({' to '.join(map(show, ends))})"
