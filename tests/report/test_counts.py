from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imgcollapse.core.errors import UserError
from imgcollapse.report.counts import Counts
from imgcollapse.run_folder import Run

from .conftest import Make


def test_the_arrays_are_the_census(vanishing: Run) -> None:
    counts = Counts.of(vanishing)
    assert_array_equal(counts.named[0], [[60, 30, 10], [64, 31, 5], [70, 29, 0]])
    assert_array_equal(counts.unrecognised[0], [0, 0, 1])
    assert_array_equal(counts.n[0], [100, 100, 100])
    assert_array_equal(counts.training, [60, 30, 10])
    assert_allclose(counts.shares[0, 2], [70 / 99, 29 / 99, 0])
    assert_array_equal(counts.seen[0], [3, 3, 2])
    assert_array_equal(counts.last_seen[0], [2, 2, 1])


def test_heterozygosity_is_one_minus_the_sum_of_squares(vanishing: Run) -> None:
    assert_allclose(Counts.of(vanishing).heterozygosity[0, 0], 1 - 0.36 - 0.09 - 0.01)


def test_a_class_never_seen_and_one_that_comes_back(make_run: Make) -> None:
    run = make_run([[5, 5, 0], [5, 0, 0], [5, 3, 0]], [[5, 5, 0], [5, 0, 0], [5, 0, 0]])
    counts = Counts.of(run)
    assert_array_equal(counts.last_seen, [[2, 2], [2, 0]])
    assert_array_equal(counts.gone, [[False, False], [False, True]])


def test_shares_are_undefined_where_nothing_is_recognised(make_run: Make) -> None:
    counts = Counts.of(make_run([[5, 5, 0], [0, 0, 10]]))
    assert np.isnan(counts.shares[0, 1]).all()
    assert np.isnan(counts.heterozygosity[0, 1])
    assert_array_equal(counts.seen[0], [2, 0])


def test_unfinished_lineages_are_left_out(make_run: Make) -> None:
    counts = Counts.of(make_run([[5, 5, 0]], [[5, 5, 0], [6, 4, 0]], []))
    assert counts.lineages == (1,)
    assert_array_equal(counts.named, [[[5, 5], [6, 4]]])


def test_a_run_without_generations_is_one_line(make_run: Make) -> None:
    run = make_run([[5, 5, 0]])
    (run.path / "gen_000" / "manifest.json").unlink()
    with pytest.raises(UserError, match="no generation yet") as caught:
        Counts.of(run)
    assert "\n" not in str(caught.value)
