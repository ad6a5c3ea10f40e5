"""Values over generations as tables, one row for each lineage and generation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.series import interval_of_mean, mean


def tidy(
    lineages: Sequence[int],
    name: str,
    values: Cube,
    low: Cube | None = None,
    high: Cube | None = None,
    **beside: Cube | None,
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


def padded(values: Cube, generations: int) -> Cube:
    """float64[g] => [G], NaN in the generations that it does not reach."""
    return np.pad(values.astype(np.float64), (0, generations - len(values)), constant_values=np.nan)
