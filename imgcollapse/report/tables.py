"""Values over generations: their mean over lineages, its interval, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from imgcollapse.report.census_arrays import FloatArray


def mean(values: FloatArray) -> FloatArray:
    """Mean over lineages, float64[L, ...] => [...]; NaN where none is defined."""
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def interval_of_mean(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """95% interval of the mean over L lineages by Student's t: float64[L, G] => [G] both.

    NaN where fewer than two lineages are defined.
    """
    there = np.isfinite(values)
    n, center = there.sum(axis=0), mean(values)
    squares = np.where(there, (values - center) ** 2, 0).sum(axis=0)
    spread = np.divide(squares, n * (n - 1.0), out=np.full(len(n), np.nan), where=n > 1)
    reach = stdtrit(np.maximum(n - 1, 1), 0.975) * np.sqrt(spread)
    return center - reach, center + reach


def tidy(
    lineages: Sequence[int],
    name: str,
    values: FloatArray,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
    **beside: FloatArray | None,
) -> pd.DataFrame:
    """One row for each lineage and generation; of several lineages their mean as well.

    Args:
        lineages: L numbers.
        name: the column of the values.
        values: float64[L, G].
        low: lower ends of their intervals; of several lineages only the mean has one, its own by
            Student's t.
        high: upper ends.
        beside: float64[G] columns, the same for every lineage; None is left out.

    Returns:
        lineage (where there are several; "mean" for their mean), generation, name, low, high and
        what stands beside them.
    """
    several, generations = len(lineages) > 1, values.shape[1]
    columns = {name: values}
    if low is not None and high is not None:
        columns |= {"low": low, "high": high}
    if several:
        ends = dict(zip(("low", "high"), interval_of_mean(values), strict=True))
        # Intervals of single lineages are not drawn, and would be most of a large table.
        columns = {key: np.full_like(values, np.nan) for key in columns} | {name: values}
        average = {name: mean(values), **ends}
        columns = {key: np.vstack([cube, average[key]]) for key, cube in columns.items()}
    rows = len(columns[name])
    table = pd.DataFrame(
        {
            "lineage": np.repeat([*map(str, lineages), "mean"][:rows], generations),
            "generation": np.tile(np.arange(generations), rows),
            **{key: cube.ravel() for key, cube in columns.items()},
            **{key: np.tile(row, rows) for key, row in beside.items() if row is not None},
        }
    )
    return table if several else table.drop(columns="lineage")


def padded(values: FloatArray, generations: int) -> FloatArray:
    """float64[g] => [G], NaN in the generations that it does not reach."""
    return np.pad(values.astype(np.float64), (0, generations - len(values)), constant_values=np.nan)


def series(metrics: pd.DataFrame, metric: str, column: str, generations: int) -> FloatArray | None:
    """float64[L, G] of a whole-population metric, or None where it is nowhere defined."""
    rows = metrics.loc[(metrics["metric"] == metric) & (metrics["class"] == "")]
    if "lineage" not in rows:
        rows = rows.assign(lineage=0)
    wide = rows.pivot(index="lineage", columns="generation", values=column)
    values = wide.reindex(columns=range(generations)).astype("Float64")
    found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found if np.isfinite(found).any() else None
