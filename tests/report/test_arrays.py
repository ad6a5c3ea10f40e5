from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imgcollapse.core.errors import UserError
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.runs.run_dir import Run

from .conftest import SURE, Make


def test_the_arrays_are_the_census(vanishing: Run) -> None:
    counts, table = CensusArrays.of(vanishing), vanishing.census
    assert_array_equal(counts.named[0], [[600, 300, 100], [640, 310, 50], [700, 299, 0]])
    assert_array_equal(counts.unrecognized[0], [0, 0, 1])
    assert_array_equal(counts.n[0], [1000] * 3)
    assert_array_equal(counts.recognized[0], [1000, 1000, 999])
    assert_array_equal(counts.training, [600, 300, 100])
    foxes = table[table["class"] == "<b>fox</b> & $x"]
    for column, array in {
        "frequency": counts.frequency[0, :, 2],
        "low": counts.low[0, :, 2],
        "high": counts.high[0, :, 2],
        "detection_limit": counts.limit[0, :, 2],
        "noise": counts.noise[0, :, 2],
        "expected": counts.expected[:, 2],
        "drift_low": counts.drift_low[:, 2],
        "drift_high": counts.drift_high[:, 2],
    }.items():
        assert_array_equal(array, foxes[column], err_msg=column)
    # An oracle this sure moves a share by less than its doubt times the classes.
    assert_allclose(counts.frequency[0, 1], [0.64, 0.31, 0.05], atol=3 * (1 - SURE))


def test_a_class_is_seen_where_it_reaches_its_detection_limit(make_run: Make) -> None:
    run = make_run([[900, 100, 0], [999, 1, 0], [900, 100, 0]])
    counts = CensusArrays.of(run)
    assert 0.001 < counts.limit[0, 1, 1] < 0.1  # one of 1,000 is no evidence, 100 are
    assert_array_equal(counts.detected[0, :, 1], [True, False, True])
    assert_array_equal(counts.last_detected, [[2, 2]])


def test_gone_is_extinct_only_after_three_generations(make_run: Make) -> None:
    there, missing = [900, 100, 0], [1000, 0, 0]
    run = make_run([there, there, missing, missing, missing], [there] * 3 + [missing] * 2)
    counts = CensusArrays.of(run)
    assert_array_equal(counts.last_detected, [[4, 1], [4, 2]])
    assert_array_equal(counts.gone, [[False, True], [False, True]])
    assert_array_equal(counts.extinct[:, -1], [[False, True], [False, False]])
    assert_array_equal(counts.called, [[-1, 4], [-1, -1]])


def test_heterozygosity_is_one_minus_the_sum_of_squares(vanishing: Run) -> None:
    p = CensusArrays.of(vanishing).frequency
    assert_allclose(CensusArrays.of(vanishing).heterozygosity, 1 - (p**2).sum(2), atol=1e-12)


def test_the_error_of_heterozygosity_is_that_of_repeated_draws(vanishing: Run) -> None:
    counts = CensusArrays.of(vanishing)
    counts = replace(counts, noise=np.zeros_like(counts.noise))
    draws = np.random.default_rng(0).multinomial(1000, counts.frequency[0, 0], size=5000) / 1000
    spread = (1 - (draws**2).sum(1)).std()
    # A standard deviation from 5,000 draws is known to 1%; four of that.
    assert_allclose(counts.heterozygosity_error[0, 0], spread, rtol=0.04)


def test_frequencies_are_undefined_where_nothing_is_recognized(make_run: Make) -> None:
    counts = CensusArrays.of(make_run([[50, 50, 0], [0, 0, 100]]))
    assert np.isnan(counts.frequency[0, 1]).all()
    assert np.isnan(counts.heterozygosity[0, 1])
    assert_array_equal(counts.detected[0], [[True, True], [False, False]])


def test_unfinished_lineages_are_left_out(make_run: Make) -> None:
    counts = CensusArrays.of(make_run([[5, 5, 0]], [[5, 5, 0], [6, 4, 0]], []))
    assert counts.lineages == (1,)
    assert_array_equal(counts.named, [[[5, 5], [6, 4]]])


def test_a_run_without_generations_is_one_line(make_run: Make) -> None:
    run = make_run([[5, 5, 0]])
    (run.path / "gen_000" / "manifest.json").unlink()
    with pytest.raises(UserError, match="no generation yet") as caught:
        CensusArrays.of(run)
    assert "\n" not in str(caught.value)
