"""An evaluation on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.estimate import wilson_interval
from imgcollapse.tools.evaluate.result import Evaluation, rows

FLOOR = "_floor"
Row = dict[str, Any]


def show(evaluation: Evaluation, console: Console) -> None:
    """Print what was measured, both tables, and what can and cannot be said."""
    record = evaluation.record
    images, oracle = record["images"], record["oracle"]
    _, height, width = record["shape"]
    census = rows(evaluation.census)
    everything = [row for row in rows(evaluation.metrics) if not row["class"]]
    _say(
        console,
        f"{images['number']:,} images of {width}x{height}. The oracle names "
        f"{oracle['accuracy']:.1%} of {oracle['held_out']:,} held-out real images rightly.",
        *images["remarks"],
    )
    rejected = oracle["held_out"] - round(oracle["recognised"] * oracle["held_out"])
    console.print("\nClasses, in percent of the recognized images; the last row, of all")
    console.print(_census(census, rejected / oracle["held_out"]))
    if census[-1]["low"] > (wilson_interval(rejected, oracle["held_out"]).high or 0.0):
        _say(console, "More are unrecognized than of real images; the shares are of the rest.")
    _say(console, *_verdicts(census[:-1]))
    console.print("\nDistances to real images, beside those between real images")
    console.print(_metrics(everything))
    _say(console, f"Features: {everything[0]['features']}", *_undefined(everything))


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(Text(line))


def _census(census: Sequence[Row], rejected: float) -> Table:
    table = _table(
        ("class", "counted", "share", "95% interval", "limit", "real", "by chance"),
    )
    for row in census:
        if row["class"] == UNRECOGNIZED:
            table.add_section()
            row |= {"expected": rejected}
        table.add_row(
            Text(row["class"]),
            f"{row['counted']:,}",
            _percent(row["frequency"]),
            _range(row["low"], row["high"]),
            _percent(row["detection_limit"]),
            _percent(row["expected"]),
            _range(row["drift_low"], row["drift_high"]),
        )
    return table


def _metrics(everything: Sequence[Row]) -> Table:
    table = _table(
        ("metric", "value", "95% interval", "real", "95% of real", "n"),
    )
    floors = {row["metric"]: row for row in everything}
    for row in everything:
        if not row["metric"].endswith(FLOOR):
            floor = floors.get(row["metric"] + FLOOR, {})
            table.add_row(
                row["metric"],
                _number(row["value"]) or "undefined",
                _interval(row),
                _number(floor.get("value")),
                _interval(floor),
                f"{row['n']:,}",
            )
    return table


def _verdicts(classes: Sequence[Row]) -> list[str]:
    """Sentences on classes whose interval and chance band do not overlap."""
    known = [row for row in classes if row["frequency"] is not None]
    sentences = {
        "Below the detection limit, not distinguishable from absent": [
            row["class"] for row in classes if row["status"] == "below-detection"
        ],
        "Rarer than chance allows": [
            row["class"] for row in known if row["high"] < row["drift_low"]
        ],
        "More common than chance allows": [
            row["class"] for row in known if row["low"] > row["drift_high"]
        ],
    }
    return [f"{what}: {', '.join(names)}." for what, names in sentences.items() if names]


def _undefined(everything: Sequence[Row]) -> list[str]:
    return [f"{row['metric']}: undefined, {row['note']}" for row in everything if row["note"]]


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{_percent(low)}–{_percent(high)}"


def _interval(row: Row) -> str:
    low, high = row.get("low"), row.get("high")
    return "" if low is None else f"{_number(low)} to {_number(high)}"
