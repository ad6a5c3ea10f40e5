"""Rows of the census and of the metrics as tables, and tables as files."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from imgcollapse import census, curation, metrics
from imgcollapse.io import atomic

Rows = Sequence[Mapping[str, Any]]

# A number that is undefined in places must not turn the others into floats, or into objects.
_WHOLE = ("n", "asked", "counted", "called", "reference_n")
_REAL = (
    *("adjusted", "frequency", "low", "high", "detection_limit", "noise"),
    *("expected", "drift_low", "drift_high", "value"),
)

_MISREAD = re.compile(
    r"[=+\-@'\t].*|#?n/?a|#n/a n/a|<na>|null|none|nan|true|false|t|f|inf(inity)?|1\.#(ind|qnan)"
    r"|0\d+|\d*\.\d*|\d+\.?\d*e[+-]?\d+|0x[0-9a-f]+|\d+[-/.:]\d+([-/.:]\d+)?",
    re.IGNORECASE | re.DOTALL,
)
"""Names that pandas, R or a spreadsheet does not read as text."""


def census_table(rows: Rows) -> pd.DataFrame:
    """Census rows of successive generations, each class with its status."""
    return _table(ExtinctionCalls().of(rows), census.COLUMNS)


def metrics_table(rows: Rows) -> pd.DataFrame:
    """Metric rows."""
    return _table(rows, metrics.COLUMNS)


def curation_table(rows: Rows) -> pd.DataFrame:
    """Table of the images that filters kept of successive generations."""
    return _table(rows, curation.COLUMNS)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Replace a CSV file as a whole."""
    atomic.write_bytes(path, csv(table))


def csv(table: pd.DataFrame) -> bytes:
    """A table as a CSV file; undefined values are empty."""
    return escape_names(table).to_csv(index=False).encode()


def escape_names(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before class names that readers of CSV take for something else.

    Such are missing values (NA, None), truth values, numbers that are not spelled as such (007,
    1e3), dates, and the formulas of a spreadsheet.
    """
    if "class" not in table:
        return table
    names = table["class"].map(lambda name: f"'{name}" if _MISREAD.fullmatch(str(name)) else name)
    return table.assign(**{"class": names})


def read_table(path: Path | str) -> pd.DataFrame:
    """Read census.csv, metrics.csv or curation.csv with all class names as they are."""
    table = pd.read_csv(path, dtype={"class": str})
    if "class" in table:
        table["class"] = table["class"].fillna("").str.removeprefix("'")
    return table


class ExtinctionCalls:
    """Says of each class, generation after generation, whether it is extinct."""

    def __init__(self) -> None:
        self._classes: dict[str, tuple[deque[bool], deque[bool], Iterator[Any]]] = {}

    def of(self, rows: Rows) -> list[dict[str, Any]]:
        """Census rows of the generations that follow those given before, each with its status."""
        called = [dict(row) for row in rows]
        for row in called:
            if row["class"] == census.UNRECOGNIZED:
                continue
            if row["class"] not in self._classes:
                self._classes[row["class"]] = self._begin()
            seen, telling, statuses = self._classes[row["class"]]
            # Where nothing is recognized nothing can be told: both are false of an undefined value.
            low, limit, expected = row["low"], row["detection_limit"], row["expected"]
            seen.append(low is not None and low > 0)
            telling.append(None not in (limit, expected) and expected >= limit)
            row["status"], row["called"] = next(statuses)
        return called

    def _begin(self) -> tuple[deque[bool], deque[bool], Iterator[Any]]:
        """Returns lists of detections, of detectability, and the statuses that follow from them."""
        seen, telling = deque[bool](), deque[bool]()
        follows = census.statuses(iter(seen.popleft, None), iter(telling.popleft, None))
        return seen, telling, follows


class Tables:
    """The tables of one lineage as text: of the next generation only its rows are formatted."""

    def __init__(self) -> None:
        self.generations = 0
        self._calls = ExtinctionCalls()
        self._text: dict[str, list[bytes]] = {"census": [], "metrics": [], "curation": []}

    def add(self, found: Mapping[str, Any]) -> None:
        """Take in the "census", "metrics" and "curation" rows of the next generation."""
        tables = {
            "census": _table(self._calls.of(found.get("census", ())), census.COLUMNS),
            "metrics": metrics_table(found.get("metrics", ())),
            "curation": curation_table(found.get("curation", ())),
        }
        for name, table in tables.items():
            text = self._text[name]
            if len(table) or (not text and name != "curation"):
                text.append(escape_names(table).to_csv(index=False, header=not text).encode())
        self.generations += 1

    @property
    def size(self) -> int:
        """Bytes of all tables together."""
        return sum(len(part) for text in self._text.values() for part in text)

    def write(self, folder: Path) -> None:
        """Replace each file as a whole; there is no curation.csv where nothing was filtered."""
        for name, text in self._text.items():
            if text:
                atomic.write_bytes(folder / f"{name}.csv", b"".join(text))


def _table(rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(columns))
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_REAL, "float64") | {"status": "object"}
    return table.astype({column: kind for column, kind in kinds.items() if column in table})
