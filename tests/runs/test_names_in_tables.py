"""Class names in CSV files survive pandas, and a spreadsheet runs none of them."""

from __future__ import annotations

import csv
import io

import pandas as pd

from imgcollapse.runs.tables import metrics_table, read_table, write_table

ODD = (
    "NA",
    "None",
    "nan",
    "true",
    "007",
    "1e3",
    "=cmd()",
    "-x",
    "+1",
    "@sum",
    "'quoted",
    "2020-1-1",
)
PLAIN = ("7", "10", "cat", "Cat", "St. Bernard", "001.ak47", "n02085620-Chihuahua", "a,b", 'a"b')


def rows(names):
    blank = dict.fromkeys(("value", "low", "high", "n", "reference_n"))
    return [
        {"generation": 1, "class": n, "metric": "m", "features": "f", "note": ""} | blank
        for n in names
    ]


def test_odd_names_are_escaped_and_read_back(tmp_path):
    path = tmp_path / "metrics.csv"
    write_table(path, metrics_table(rows((*ODD, *PLAIN, ""))))
    assert read_table(path)["class"].tolist() == [*ODD, *PLAIN, ""]
    plain = pd.read_csv(path, dtype={"class": str})["class"]
    assert plain[:-1].notna().all()
    cells = [row["class"] for row in csv.DictReader(io.StringIO(path.read_text()))]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@")]
    assert cells[: len(ODD)] == [f"'{name}" for name in ODD]
    assert cells[len(ODD) : -1] == list(PLAIN), "other names are as they were"
