import pytest
import torch
from scipy.stats import binom, binomtest

from imgcollapse import census


@pytest.mark.parametrize(
    ("count", "n"), [(0, 1), (0, 100), (3, 100), (50, 100), (100, 100), (1, 7)]
)
def test_wilson_equals_scipy(count, n):
    expected = binomtest(count, n).proportion_ci(0.95, method="wilson")
    assert census.wilson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_wilson_covers_about_as_often_as_it_says(share):
    n = 400
    covered = sum(
        binom.pmf(k, n, share)
        for k in range(n + 1)
        if census.wilson(k, n)[0] <= share <= census.wilson(k, n)[1]
    )
    assert 0.93 < covered < 0.98  # exact coverage of a discrete interval swings about 0.95


def test_counts_add_up_and_frequencies_are_among_the_recognised():
    counted = torch.tensor([0, 0, 0, 1, -1, -1], dtype=torch.int16)
    asked = torch.tensor([0, 0, 1, 1, 2, 2], dtype=torch.int16)
    rows = census.count(4, counted, asked, ["a", "b", "c"], [0.5, 0.3, 0.2])
    by_class = {row["class"]: row for row in rows}
    assert list(rows[0]) == list(census.COLUMNS)
    assert sum(row["counted"] for row in rows) == 6
    assert by_class["a"]["frequency"] == 3 / 4
    assert by_class["c"]["frequency"] == 0
    assert by_class["c"]["status"] == "below-detection"
    assert by_class["c"]["asked"] == 2
    assert by_class["c"]["high"] > 0
    assert by_class[census.UNRECOGNISED]["frequency"] == 2 / 6
    assert by_class[census.UNRECOGNISED]["expected"] is None


def test_nothing_recognised_is_undefined_and_not_zero():
    counted = torch.full((5,), -1, dtype=torch.int16)
    rows = census.count(1, counted, counted, ["a", "b"], [0.5, 0.5])
    assert [row["frequency"] for row in rows] == [None, None, 1.0]
    assert all(row["asked"] is None for row in rows)
