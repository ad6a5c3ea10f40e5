"""Rows of the census and of the metrics as tables, and tables as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from imgcollapse import census, curation, metrics
from imgcollapse.core import storage

Rows = Sequence[Mapping[str, Any]]

# A number that is undefined in places must not turn the others into floats, or into objects.
_WHOLE = ("n", "asked", "counted", "called", "reference_n")
_REAL = (
    *("adjusted", "frequency", "low", "high", "detection_limit", "noise"),
    *("expected", "drift_low", "drift_high", "value"),
)


def census_table(rows: Rows) -> pd.DataFrame:
    """Census rows of successive generations, each class with its status."""
    table = _table(rows, census.COLUMNS)
    for name, of_class in table.groupby("class", sort=False):
        if name != census.UNRECOGNISED:
            # Where nothing is recognised nothing can be told: both are false of an undefined value.
            seen, telling = of_class["low"] > 0, of_class["expected"] >= of_class["detection_limit"]
            status, called = zip(*census.statuses(seen, telling), strict=True)
            table.loc[of_class.index, "status"] = status
            table.loc[of_class.index, "called"] = pd.array(called, dtype="Int64")
    return table


def metrics_table(rows: Rows) -> pd.DataFrame:
    """Metric rows."""
    return _table(rows, metrics.COLUMNS)


def curation_table(rows: Rows) -> pd.DataFrame:
    """What filters kept of successive generations."""
    return _table(rows, curation.COLUMNS)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Replace a CSV file as a whole."""
    storage.write_bytes(path, csv(table))


def csv(table: pd.DataFrame) -> bytes:
    """A table as a CSV file; undefined values are empty."""
    return table.to_csv(index=False).encode()


def _table(rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(columns))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_REAL, "float64") | {"status": "object"}
    return table.astype({column: kind for column, kind in kinds.items() if column in table})
