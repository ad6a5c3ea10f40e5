from __future__ import annotations

from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.formatting import percent
from imgcollapse.report.sections.last_detected import class_rows
from imgcollapse.runs.run_dir import Run

from .conftest import Make

THERE, MISSING = [900, 100, 0], [1000, 0, 0]


def test_rows_are_ranked_and_say_when(vanishing: Run) -> None:
    counts = CensusArrays.of(vanishing)
    rows = class_rows(counts)
    assert [row.cells[1] for row in rows] == ["60%", "30%", "10%"]
    assert [row.cells[5] for row in rows] == ["2", "2", "1"]
    assert [row.cells[-1] for row in rows] == ["present", "present", "below detection"]
    high = percent(float(counts.high[0, 2, 2]))
    assert rows[2].cells[3] == f"0% (0% to {high})"


def test_a_called_extinction_says_when(make_run: Make) -> None:
    rows = class_rows(CensusArrays.of(make_run([THERE, *[MISSING] * 4], measured=False)))
    assert rows[1].cells[-1] == "extinct, called in 3"
    assert rows[1].cells[5] == "0"


def test_rows_over_lineages(make_run: Make) -> None:
    run = make_run([THERE, *[MISSING] * 3], [THERE] * 3 + [MISSING], [THERE] * 4, measured=False)
    rows = class_rows(CensusArrays.of(run))
    assert [row.cells[-1] for row in rows] == [
        "present in all",
        "extinct in 1, below detection in 1 of 3",
    ]
    assert [row.cells[5] for row in rows] == ["3", "0 to 3"]
    # The oracle's doubt of one in a thousand is taken off.
    assert rows[1].cells[3] == "3.3% (0% to 10%)"
    assert [row.cells[6] for row in rows] == ["–", "–"]  # two of three are not extinct


def test_half_of_the_lineages_may_be_extinct(make_run: Make) -> None:
    run = make_run([THERE, *[MISSING] * 3], [THERE] * 4, measured=False)
    assert class_rows(CensusArrays.of(run))[1].cells[6] == "3"


def test_undefined_is_said(make_run: Make) -> None:
    rows = class_rows(CensusArrays.of(make_run([THERE, [0, 0, 1000]], measured=False)))
    assert {row.cells[3] for row in rows} == {"undefined"}
    assert {row.cells[4] for row in rows} == {"–"}
