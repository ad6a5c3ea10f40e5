import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from imgcollapse.census import (
    HeldOut,
    adjusted_count,
    expectation_maximization,
    measured_shares,
    prevalence,
    score_interval,
)
from imgcollapse.core.estimate import wilson_interval
from imgcollapse.core.seeds import Seed

NAMES = 4


def oracle(separation, labels, seed):
    """Exact posteriors, for equal shares, of images that are Gaussian about their class's axis."""
    draw = Seed(("oracle", seed)).numpy()
    x = draw.normal(size=(len(labels), NAMES)) + separation * np.eye(NAMES)[labels]
    scores = np.exp(separation * (x - x.max(1, keepdims=True)))
    return torch.from_numpy(scores / scores.sum(1, keepdims=True)).float()


def record(separation, each=400, seed="held out"):
    labels = np.arange(NAMES).repeat(each)
    p = oracle(separation, labels, seed)
    return HeldOut(torch.from_numpy(labels).short(), p.argmax(1).short(), p)


def sample(separation, shares, n, seed):
    labels = Seed(("sample", seed)).numpy().choice(NAMES, n, p=shares)
    p = oracle(separation, labels, ("sample", seed))
    return p, p.argmax(1).short()


@pytest.mark.parametrize(
    ("count", "n"), [(0, 1), (0, 100), (3, 100), (50, 100), (100, 100), (1, 7)]
)
def test_wilson_equals_scipy(count, n):
    expected = binomtest(count, n).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(count, n)[1:3]
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    census = [float(end[0]) for end in score_interval(np.array([count / n]), n, np.zeros(1))]
    assert census == pytest.approx([low, high], abs=1e-12)
    assert (census[0] == 0) == (low == 0) == (count == 0)
    assert (census[1] == 1) == (high == 1) == (count == n)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_wilson_covers_about_as_often_as_it_says(share):
    n = 400
    intervals = [wilson_interval(k, n)[1:3] for k in range(n + 1)]
    covered = sum(
        binom.pmf(k, n, share) for k, (low, high) in enumerate(intervals) if low <= share <= high
    )
    assert 0.93 < covered < 0.98  # exact coverage of a discrete interval swings about 0.95


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.integers(1, 10**6),
    st.floats(0, 0.25),
)
def test_an_interval_holds_its_estimate_and_widens_with_noise(estimates, n, noise):
    estimate = np.array(estimates)
    low, high = score_interval(estimate, n, np.full(len(estimate), noise))
    narrow_low, narrow_high = score_interval(estimate, n, np.zeros(len(estimate)))
    assert ((low >= 0) & (low <= estimate) & (estimate <= high) & (high <= 1)).all()
    assert (low <= narrow_low + 1e-12).all()
    assert (high >= narrow_high - 1e-12).all()


def test_expectation_maximisation_equals_quapy():
    emq = pytest.importorskip("quapy.method.aggregative", reason="quapy is not installed").EMQ
    p, _ = sample(1.5, [0.7, 0.25, 0.05, 0.0], 2000, 0)
    p = p.double().numpy()
    theirs, _ = emq.EM(np.full(NAMES, 1 / NAMES), p, epsilon=1e-13)
    assert expectation_maximization(p) == pytest.approx(theirs, abs=1e-6)


def test_expectation_maximisation_is_the_most_likely():
    p, _ = sample(1.0, [0.6, 0.3, 0.1, 0.0], 500, 1)
    p = p.double().numpy()
    best = expectation_maximization(p, tolerance=1e-12)

    def log_likelihood(shares):
        return np.log(p @ shares).sum()

    other = Seed(("others",)).numpy().dirichlet(200 * best + 0.1, 200)
    assert max(map(log_likelihood, other)) < log_likelihood(best) + 1e-9


def test_a_perfect_oracle_counts():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    p = torch.eye(NAMES)[labels]
    held_out = HeldOut(
        torch.arange(NAMES).repeat_interleave(1000).short(),
        torch.arange(NAMES).repeat_interleave(1000).short(),
        torch.eye(NAMES).repeat_interleave(1000, 0),
    )
    found = prevalence(p, labels.short(), held_out)
    assert found.frequency == pytest.approx([0.6, 0.3, 0.1, 0], abs=1e-9)
    assert found.adjusted == pytest.approx([0.6, 0.3, 0.1, 0], abs=1e-9)
    # Three images expected are at least one in 95% (Poisson); a little is left unknown.
    assert (found.detection_limit > 3.0 / 100).all()
    assert (found.detection_limit < 3.6 / 100).all()
    assert found.frequency[3] < found.detection_limit[3]


@pytest.mark.parametrize("separation", [1.0, 2.0, 4.0])
def test_intervals_cover_and_absent_classes_are_below_detection(separation):
    shares = np.array([0.72, 0.25, 0.03, 0.0])
    inside, below, trials = np.zeros(NAMES), 0, 200
    for seed in range(trials):  # each with a record of its own: its error must be in the interval
        held_out = record(separation, 150, ("cover", seed))
        found = prevalence(*sample(separation, shares, 400, seed), held_out)
        inside += (found.low <= shares + 1e-12) & (shares <= found.high + 1e-12)
        below += found.frequency[3] < found.detection_limit[3]
    # Nominal 95%; at 200 trials its standard error is 1.5 points.
    assert (inside[:3] / trials > 0.95 - 3 * 0.0154).all(), inside
    assert inside[3] / trials > 0.92
    assert below / trials > 0.95 - 3 * 0.0154


def wrong(p):
    """Probabilities of an oracle that is far too sure, and partial to the first classes."""
    skewed = p.double() ** 2.5 * torch.tensor([4.0, 2.0, 1.0, 1.0])
    return (skewed / skewed.sum(1, keepdim=True)).float()


@pytest.mark.parametrize("separation", [0.8, 1.5])
@pytest.mark.parametrize("each", [150, 400])
def test_intervals_cover_however_badly_the_oracle_is_calibrated(separation, each):
    shares = np.array([0.72, 0.25, 0.03, 0.0])
    inside, trials = np.zeros(NAMES), 200
    for seed in range(trials):
        found = record(separation, each, ("wrong", seed))
        held_out = HeldOut(
            found.labels, wrong(found.probabilities).argmax(1).short(), wrong(found.probabilities)
        )
        p = wrong(sample(separation, shares, 2000, seed)[0])
        found = prevalence(p, p.argmax(1).short(), held_out)
        inside += (found.low <= shares + 1e-12) & (shares <= found.high + 1e-12)
    # Nominal 95%; at 200 trials its standard error is 1.5 points.
    # Four shares are looked at; the rarest have a skewed error.
    assert (inside / trials > 0.95 - 4 * 0.0154).all(), inside


@pytest.mark.parametrize("separation", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("n", [300, 3000])
def test_a_class_at_its_detection_limit_is_detected_in_95_percent(separation, n):
    shares, told, twice, trials = np.array([0.6, 0.3, 0.1, 0.0]), 0, 0, 150
    for seed in range(trials):
        held_out = record(separation, 150, ("limit", seed))
        limit = prevalence(*sample(separation, shares, n, seed), held_out).detection_limit[3]
        for times in (1, 2):
            there = shares * (1 - times * limit) + [0, 0, 0, times * limit]
            found = prevalence(*sample(separation, there, n, (seed, times)), held_out)
            told, twice = told + (found.low[3] > 0) * (2 - times), twice + (found.low[3] > 0)
    twice -= told
    # Of 150 classes at a limit told in 95%, three standard errors are 5.3 points.
    assert told / trials > 0.95 - 0.053
    assert twice / trials > 0.99 - 0.025


def test_many_samples_of_the_same_images_are_measured_as_one_is():
    held_out, (p, names) = record(1.5, 100), sample(1.5, [0.5, 0.3, 0.2, 0], 300, 9)
    names[:10] = -1
    times = Seed(("times",)).numpy().multinomial(300, np.full(300, 1 / 300), 20)
    found = measured_shares(times.astype(float), p, names, held_out)
    for some, shares in zip(times, found, strict=True):
        rows = torch.arange(300).repeat_interleave(torch.from_numpy(some))
        rows = rows[names[rows] != -1]
        alone = prevalence(p[rows], names[rows], held_out)
        # The prior is coarser there: it moves the answer by a small part of its interval.
        assert (np.abs(shares - alone.frequency) < 0.1 * (alone.high - alone.low)).all()


def test_a_class_that_is_more_often_turned_away_is_not_counted_less():
    held_out = record(5.0, 2000)
    turned_away = torch.rand(len(held_out.labels), generator=Seed(("turn",)).torch()) < 0.3
    turned_away &= held_out.labels == 0
    counted = held_out.counted.where(~turned_away, torch.tensor(-1, dtype=torch.int16))
    half = HeldOut(held_out.labels, counted, held_out.probabilities)
    p, names = sample(5.0, [0.5, 0.5, 0, 0], 20000, 2)
    there = (names != 0) | (torch.rand(len(names), generator=Seed(("here",)).torch()) >= 0.3)
    found = prevalence(p[there], names[there], half)
    error = ((0.25 / 20000) + 0.25**2 * 0.3 / 0.7 / 2000) ** 0.5
    assert found.frequency[0] == pytest.approx(0.5, abs=4 * error)
    assert found.adjusted[0] == pytest.approx(0.5, abs=4 * error)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_samples_is_finite_and_unsure(n):
    p, names = sample(2.0, [0.25] * 4, n, 3)
    found = prevalence(p, names, record(2.0, 20))
    for values in vars(found).values():
        assert np.isfinite(values).all()
    assert (found.high - found.low > 0.3).all()


def test_a_class_nobody_has_held_out_is_finite():
    held_out = record(3.0, 50)
    none = HeldOut(held_out.labels[:150], held_out.counted[:150], held_out.probabilities[:150])
    found = prevalence(*sample(3.0, [0.5, 0.5, 0, 0], 100, 4), none)
    assert all(np.isfinite(values).all() for values in vars(found).values())
    assert adjusted_count(torch.empty(0, dtype=torch.int16), held_out).sum() == 0


def test_an_impossible_image_says_nothing():
    shares = expectation_maximization(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
    assert shares == pytest.approx([1, 0])
