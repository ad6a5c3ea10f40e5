import math

import numpy as np
import pytest

from imgcollapse import drift
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import Accumulate, RealFraction, Replace

from .simulated_shares import real_labels

SEED = Seed((2,))


def test_without_censoring_it_is_the_share_still_alive():
    curve = drift.survival_curve([1, 2, 2, 5], [True] * 4)
    assert curve.generation.tolist() == [0, 1, 2, 5]
    np.testing.assert_allclose(curve.alive, [1, 0.75, 0.25, 0], atol=1e-15)
    assert curve.at_risk.tolist() == [4, 4, 3, 1]
    assert curve.median == 2
    # Wilson's interval of 3 of 4: (3 + z^2/2 -+ z sqrt(3/4 + z^2/4)) / (4 + z^2).
    z = 1.959963984540054
    half = z * math.sqrt(3 / 4 + z**2 / 4)
    assert curve.low[1] == pytest.approx((3 + z**2 / 2 - half) / (4 + z**2), rel=1e-12)
    assert curve.high[1] == pytest.approx((3 + z**2 / 2 + half) / (4 + z**2), rel=1e-12)


def test_the_product_limit_by_hand():
    curve = drift.survival_curve([1, 2, 2, 3, 4], [True, False, True, False, True])
    np.testing.assert_allclose(curve.alive, [1, 0.8, 0.6, 0.6, 0], atol=1e-15)
    assert curve.at_risk.tolist() == [5, 5, 4, 2, 1]
    assert curve.median == 4


@pytest.mark.parametrize(
    ("times", "observed", "alive", "median"),
    [
        ([5], [True], [1, 0], 5),
        ([5], [False], [1, 1], None),
        ([4, 4], [False, False], [1, 1], None),
        ([3, 3, 3], [True] * 3, [1, 0], 3),
    ],
)
def test_few_lineages_are_finite(times, observed, alive, median):
    curve = drift.survival_curve(times, observed)
    assert curve.alive.tolist() == alive
    assert curve.median == median
    assert ((curve.low >= 0) & (curve.low <= curve.alive)).all()
    assert ((curve.high <= 1) & (curve.high >= curve.alive)).all()
    assert (curve.low[0], curve.high[0]) == (1, 1)
    assert curve.high[1] - curve.low[1] > 0.3  # four lineages at most cannot be sure


def test_the_interval_covers_the_truth_under_censoring():
    rng, covered = np.random.default_rng(0), []
    for _ in range(600):
        death, watched = rng.geometric(0.2, 40), rng.integers(1, 12, 40)
        curve = drift.survival_curve(np.minimum(death, watched), death <= watched)
        at = np.searchsorted(curve.generation, 4, side="right") - 1
        covered.append(curve.low[at] <= 0.8**4 <= curve.high[at])
    assert abs(np.mean(covered) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 600)


def test_log_rank_is_calibrated_and_has_a_sign():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(400):
        times = rng.geometric(0.2, (2, 30))
        seen = times <= 8
        a, b = np.minimum(times, 8)
        p.append(drift.log_rank(a, seen[0], b, seen[1]).p)
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 400)
    slow = drift.log_rank([8, 9, 10, 10], [True] * 4, [1, 2, 3, 4], [True] * 4)
    assert slow.statistic < 0
    assert slow.p < 0.05


def test_log_rank_where_nothing_can_be_told():
    assert "no extinction in either" in drift.log_rank([3, 3], [0, 0], [4], [0]).reason
    for a, b in (([3], [3]), ([5, 5], [5, 5]), ([2], [9])):
        result = drift.log_rank(a, [1] * len(a), b, [1] * len(b))
        assert (result.p is None) == (a == b)
    late = drift.log_rank([1], [False], [2], [True])  # nobody is left to compare with
    assert late.p is None
    with pytest.raises(UserError, match="at least one lineage"):
        drift.log_rank([], [], [1], [True])
    with pytest.raises(UserError, match="one of each"):
        drift.survival_curve([1, 2], [True])


def test_the_chain_and_the_recursion_tell_the_same_story():
    exact = drift.time_left([0, 1, 5, 20, 2000], 2000, 200)
    assert [t.median for t in exact] == [0, 2, 13, 57, None]
    large = drift.time_left([0, 1, 5, 20, 2001], 2001, 200)
    for a, b in zip(exact, large, strict=True):
        assert a.lost == pytest.approx(b.lost, abs=0.01)
        assert (a.median is None) == (b.median is None)
        if a.median:
            assert abs(a.median - b.median) <= 1
            assert a.mean == pytest.approx(b.mean, rel=0.5 if a.median < 3 else 0.1)
    assert exact[0].mean == large[0].mean == 0
    assert exact[4].reason == large[4].reason == "the only class: it cannot be lost"
    far = drift.time_left([900], 2000, 50)[0]
    assert far.median is None
    assert far.horizon == 50
    assert far.reason == "more likely there than not after 50 generations"


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_populations(n):
    times = drift.time_left([0, n], n, 5)
    assert times[0].mean == times[0].median == 0
    assert times[1].mean is times[1].median is None
    with pytest.raises(UserError, match="give 0 to n"):
        drift.time_left([n + 1], n)


def replayed(regime, copies, n=100, generations=60, history=()):
    labels = real_labels(n).new_zeros(n)
    labels[:copies] = 1
    null = drift.simulate(regime, None, labels, labels[:0], n, generations, 2, SEED, 4000, history)
    return drift.simulated_time_left(null, len(history))


def test_a_replay_agrees_with_the_chain():
    here, exact = replayed(Replace(), 3)[1], drift.time_left([3], 100, 59)[0]
    assert here.horizon == exact.horizon == 59
    error = 4.5 * math.sqrt(exact.lost * (1 - exact.lost) / 4000)
    assert here.lost == pytest.approx(exact.lost, abs=error)
    assert abs(here.median - exact.median) <= 1
    assert here.mean is None
    assert "of the replicates have it after 59" in here.reason


def test_a_replay_goes_on_from_history():
    past = real_labels(100).new_zeros(100)
    past[:3] = 1
    here = replayed(Replace(), 50, history=[past])[1]
    exact = drift.time_left([3], 100, 58)[0]
    assert here.horizon == 58
    assert here.lost == pytest.approx(exact.lost, abs=4.5 * math.sqrt(0.09 / 4000))
    gone = replayed(Replace(), 50, history=[past * 0])
    assert (gone[1].mean, gone[1].median, gone[1].lost) == (0, 0, 1)
    assert (gone[0].mean, gone[0].median, gone[0].lost) == (None, None, 0)


def test_what_real_data_brings_back_is_not_extinct():
    for regime in (Accumulate(), RealFraction(fraction=0.1)):
        here = replayed(regime, 2, generations=20)[1]
        assert here.lost == 0
        assert here.median is None
    # The fixed real subset is the first tenth; a class outside it can be lost for good.
    labels = real_labels(100).new_zeros(100)
    labels[-1] = 1
    null = drift.simulate(RealFraction(), None, labels, labels[:0], 100, 30, 2, SEED, 1000)
    assert drift.simulated_time_left(null, 0)[1].lost > 0.8


def test_nothing_ahead_is_said_so():
    labels = real_labels(100)
    null = drift.simulate(Replace(), None, labels, labels[:0], 100, 1, 5, SEED, 200, [labels])
    assert all(t.horizon == 0 and t.median is None for t in drift.simulated_time_left(null, 1))
