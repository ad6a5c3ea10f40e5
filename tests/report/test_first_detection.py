from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from imgcollapse.report.data import PageData
from imgcollapse.report.section import Table, TableCell, Text
from imgcollapse.report.sections.first_detection import (
    FirstDetection,
    first,
    first_detections,
    sentence,
)
from imgcollapse.runs.run_dir import Run

from .conftest import Make

Ends = tuple[float | None, float | None]


def table(**intervals: list[Ends | float]) -> pd.DataFrame:
    """Intervals of generations 0, 1, ...; a number stands for a value without one."""
    rows = []
    for metric, values in intervals.items():
        for g, ends in enumerate(values):
            low, high = ends if isinstance(ends, tuple) else (None, None)
            value = low if isinstance(ends, tuple) else ends
            rows.append((g, "", metric.replace("tail", "vocab_tail_mass"), value, low, high))
    columns = ["generation", "class", "metric", "value", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(columns[3:], "float64"))


def detections(run: Run, metrics: pd.DataFrame) -> tuple[str, list[Sequence[str | TableCell]]]:
    """The section's sentence, and the rows of its table: name, rule, first generation."""
    data = PageData.of_one(run.path)
    data = replace(data, runs=(replace(data.run, metrics=metrics),))
    said, found, _ = FirstDetection().blocks(data)
    assert isinstance(said, Text)
    assert isinstance(found, Table)
    return said.text, [row.cells for row in found.rows]


def firsts(run: Run, metrics: pd.DataFrame) -> list[str | TableCell]:
    return [cells[-1] for cells in detections(run, metrics)[1]]


def test_the_first_generation_that_notices() -> None:
    notices = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    assert first(notices).tolist() == [2, -1, 1]
    assert first(notices[:, :1]).tolist() == [-1, -1, -1]  # no model has been trained yet


def test_an_interval_notices_where_it_does_not_touch_the_band(vanishing: Run) -> None:
    # The fox falls from 10% to 5%, where chance may leave it, to none, where chance may not.
    metrics = table(
        tail=[(0.1, 0.2), (0.1, 0.2), 0.0],
        tail_chance=[(0, 1), (0.2, 0.3), (0.01, 0.3)],
        fid=[(5, 6), (2.1, 3), (9, 9)],
        fid_floor=[(1, 2), (1, 2), (1, 2)],
    )
    said, rows = detections(vanishing, metrics)
    assert [(cells[0], cells[-1]) for cells in rows] == [
        ("the census", "generation 2"),
        ("FID", "generation 1"),
        ("the share of the rare words", "generation 2"),
    ]
    assert said == (
        "FID notices first, in generation 1; the census in 2; the share of the rare words in 2."
    )


def test_without_chance_the_floor_is_the_band(vanishing: Run) -> None:
    metrics = table(tail=[(0.1, 0.2), (0.3, 0.4), 0.5], tail_floor=[(0.1, 0.2)] * 3)
    _, rows = detections(vanishing, metrics)
    assert rows[1][1:] == ["its interval lies outside its floor", "generation 1"]


def test_when_nobody_notices_it_is_said(make_run: Make) -> None:
    run = make_run([[60, 40, 0], [60, 40, 0]], measured=False)
    said, rows = detections(run, table(fid=[(0, 1), (0, 1)], fid_floor=[(0, 1), (0, 1)]))
    assert said == "None of them notices anything in 1 generation."
    assert {cells[-1] for cells in rows} == {"not in 1 generation"}


def test_the_census_notices_no_class_that_drift_alone_explains(make_run: Make) -> None:
    run = make_run([[500, 300, 200, 0], [520, 290, 190, 0]], measured=False)
    one = PageData.of_one(run.path).run
    # A band so narrow that every class leaves it, as one of many does by luck.
    narrow = one.census.expected * 0.5
    one = replace(one, census=replace(one.census, drift_low=narrow, drift_high=narrow))
    assert one.drift_test is not None
    assert {one.drift_test.words(k) for k in range(3)} == {"drift explains it"}
    (_, when), *_ = first_detections(one, []).values()
    assert when.tolist() == [-1]


def test_lineages_are_counted(make_run: Make) -> None:
    there, gone = [900, 100, 0], [1000, 0, 0]
    run = make_run([there, there, gone], [there, gone, gone], [there] * 3, measured=False)
    assert firsts(run, table(fid=[0.0] * 3))[0] == "generation 1 to 2, in 2 of 3 lineages"


@pytest.mark.parametrize(
    ("when", "last", "said"),
    [
        ([[1], [1], [-1]], 3, "A and B notice first, in generation 1; C does not."),
        ([[-1], [2], [-1]], 3, "B notices first, in generation 2; A and C do not."),
        ([[3], [2], [1]], 3, "C notices first, in generation 1; B in 2; A in 3."),
        ([[-1], [-1], [-1]], 3, "None of them notices anything in 3 generations."),
        ([[0], [0], [0]], 0, "No model has been trained yet, so there is nothing to notice."),
        (
            [[1, -1, -1], [1, 2, -1], [-1, 3, -1]],
            3,
            "Of 3 lineages, first to notice, or among the first, is A in 1, B in 2 and C in 0; "
            "in 1 none of them notices anything.",
        ),
    ],
)
def test_one_plain_sentence(when: list[list[int]], last: int, said: str) -> None:
    found = {name: np.array(row) for name, row in zip("ABC", when, strict=True)}
    assert sentence(found, last) == said
