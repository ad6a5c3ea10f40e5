import pytest
import torch

from imgcollapse import census

EQUAL = census.Expectation([0.5, 0.3, 0.2], [0.4, 0.2, 0.1], [0.6, 0.4, 0.3])
PERFECT = census.HeldOut(
    torch.arange(3).repeat_interleave(500).short(),
    torch.arange(3).repeat_interleave(500).short(),
    torch.eye(3).repeat_interleave(500, 0),
)


def rows_of(counted, asked):
    counted, asked = (torch.tensor(labels, dtype=torch.int16) for labels in (counted, asked))
    p = torch.eye(3)[counted.clamp(min=0).long()]
    rows = census.count(4, counted, p, asked, ["a", "b", "c"], EQUAL, PERFECT)
    assert all(list(row) == list(census.COLUMNS) for row in rows)
    return {row["class"]: row for row in rows}


def test_counts_add_up_and_frequencies_are_among_the_recognised():
    rows = rows_of([0, 0, 0, 1, -1, -1], [0, 0, 1, 1, 2, 2])
    assert sum(row["counted"] for row in rows.values()) == 6
    assert rows["a"]["frequency"] == pytest.approx(3 / 4)
    assert rows["c"]["frequency"] == pytest.approx(0)
    assert rows["c"]["frequency"] < rows["c"]["detection_limit"]
    assert rows["c"]["asked"] == 2
    assert rows["c"]["high"] > 0
    assert (rows["b"]["expected"], rows["b"]["drift_low"], rows["b"]["drift_high"]) == (
        0.3,
        0.2,
        0.4,
    )
    assert rows[census.UNRECOGNIZED]["frequency"] == 2 / 6
    assert rows[census.UNRECOGNIZED]["expected"] is None


def test_nothing_recognised_is_undefined_and_not_zero():
    rows = rows_of([-1] * 5, [-1] * 5)
    assert [row["frequency"] for row in rows.values()] == [None, None, None, 1.0]
    assert [row["low"] for row in rows.values()][:3] == [None] * 3
    assert all(row["asked"] is None for row in rows.values())


def test_no_samples_at_all_are_undefined():
    assert all(row["frequency"] is None for row in rows_of([], []).values())
