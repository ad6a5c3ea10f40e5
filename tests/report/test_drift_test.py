from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imgcollapse.core.errors import UserError
from imgcollapse.drift import time_left
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.drift_test import LEVEL, DriftTest, holm, measured
from imgcollapse.report.sections.drift import verdict_rows as rows_of
from imgcollapse.report.sections.header import cautions, explained
from imgcollapse.runs.run_dir import Run

from .conftest import Make, drifting

SHARES = (0.5, 0.3, 0.2)
N = 400


def judged(run: Run) -> tuple[DriftTest, CensusArrays]:
    counts = CensusArrays.of(run)
    return DriftTest.of(run, counts), counts


def test_pure_drift_is_explained_by_chance(make_run: Make) -> None:
    lineages = [drifting(SHARES, N, 8, seed) for seed in range(4)]
    verdict, counts = judged(make_run(*lineages, measured=False))
    assert verdict.generations == 8
    assert [verdict.words(k) for k in range(3)] == ["drift explains it"] * 3
    assert verdict.selection.overall is not None
    assert verdict.selection.overall > LEVEL
    size = verdict.size.pooled
    assert size.low is not None
    assert size.high is not None
    assert size.low < 1 < size.high
    said = " ".join(explained(verdict, counts))
    assert "Drift alone is enough to explain the class shares (p = 0." in said
    assert "no clear difference from a perfect learner's 1" in said


def test_a_planted_bias_is_found_and_named(make_run: Make) -> None:
    bias = -0.4
    lineages = [drifting(SHARES, N, 8, seed, s=[0, 0, bias]) for seed in range(4)]
    run = make_run(*lineages, measured=False, classes=["dog", "cat", "fox"])
    verdict, counts = judged(run)
    assert verdict.words(2) == "the model loses it"
    assert float(verdict.selection.low[2]) < bias < float(verdict.selection.high[2])
    said = explained(verdict, counts)[0]
    assert said.startswith("Drift alone does not explain the class shares (p = 0.00")
    assert "the model loses fox" in said
    row = rows_of(counts, verdict)[2]
    assert row.alert
    assert str(row.cells[1]).startswith("−0.")


def test_a_class_that_is_gone_at_once_has_no_s_but_a_verdict(make_run: Make) -> None:
    run = make_run([[500, 300, 200, 0], *[[600, 400, 0, 0]] * 3], measured=False)
    verdict, counts = judged(run)
    assert verdict.words(2) == "the model loses it"
    assert str(rows_of(counts, verdict)[2].cells[1]).startswith("below −")


def test_one_copy_in_four_hundred_is_too_rare_to_tell(make_run: Make) -> None:
    verdict, counts = judged(make_run([[259, 140, 1, 0], [258, 142, 0, 0]], measured=False))
    assert verdict.words(2) == "too rare to tell"
    assert (
        "Too rare to tell whether drift or the model moved its share: class 2; a model that halves"
        in explained(verdict, counts)[2]
    )


def test_holm_is_the_published_procedure() -> None:
    # Sorted: 4 x .005, 3 x .01, 2 x .03, and .04 which may not fall below the one before.
    assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert_array_equal(holm(np.array([1.0, 0.9])), [1, 1])


def test_time_left_is_of_the_copies_that_are_left(make_run: Make) -> None:
    verdict, counts = judged(make_run([[60, 30, 10, 0], [50, 45, 5, 0]], measured=False))
    assert verdict.left is not None
    copies = [round(float(x[0, 1, 2]) * 100) for x in (counts.frequency, counts.low, counts.high)]
    assert copies[0] == 5
    assert verdict.left[2] == time_left(copies, 100)
    row = rows_of(counts, verdict)[2]
    medians = [time.median for time in verdict.left[2]]
    assert row.cells[-1] == f"{medians[0]} ({medians[1]} to {medians[2]})"


@pytest.mark.parametrize("regime", ["accumulate", "real-only"])
def test_time_left_is_not_told_where_real_images_come_back(make_run: Make, regime: str) -> None:
    run = make_run([[60, 40, 0]] * 3, regime=regime, measured=False)
    assert judged(run)[0].left is None


def test_counting_some_of_the_samples_adds_variance(make_run: Make) -> None:
    counts = CensusArrays.of(make_run([[600, 400, 0], [300, 200, 500]], measured=False))
    x, counting, oracle = measured(counts, 2)
    # p (1-p) / 500 is that of the 500 recognized, p (1-p) / 1000 that of all.
    assert_allclose(counting[1], (x[0, 1] * (1 - x[0, 1])) / 1000)
    assert_allclose(counting[0], 0, atol=1e-15)
    assert_array_equal(oracle, counts.noise[0])


def test_what_is_after_mush_is_not_judged(make_run: Make) -> None:
    run = make_run([[60, 40, 0], [60, 40, 0], [0, 0, 100], [60, 40, 0]], measured=False)
    verdict, _ = judged(run)
    assert verdict.generations == 1
    assert verdict.left is None


@pytest.mark.parametrize(
    ("generations", "said"),
    [
        ([[6, 4, 0]], "no model has been trained yet"),
        ([[6, 4, 0], [0, 0, 10]], "nothing in generation 1 was recognized"),
    ],
)
def test_where_there_is_nothing_to_judge_it_says_so(
    make_run: Make, generations: list, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        judged(make_run(generations, measured=False))


def test_a_part_that_is_not_here_leaves_the_run_unjudged(make_run: Make) -> None:
    run = make_run([[60, 40, 0], [60, 40, 0]], measured=False)
    run.record["study"]["generator"] = {"kind": "elsewhere:Flow"}
    with pytest.raises(UserError, match="not installed here"):
        judged(run)


def test_where_filters_chose_the_page_does_not_blame_the_model(make_run: Make) -> None:
    run = make_run([[50, 30, 20], [60, 30, 10], [70, 25, 5]])
    counts = CensusArrays.of(run)
    plain = DriftTest.of(run, counts)
    run.record["study"]["curation"] = [{"kind": "balance", "keep_share": 0.5}]
    filtered = DriftTest.of(run, counts)
    assert plain.left
    assert not filtered.left
    said = [
        any("the filters that lose" in x for x in cautions(counts, v)) for v in (plain, filtered)
    ]
    assert said == [False, True]
