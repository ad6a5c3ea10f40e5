"""Closed forms against a simulation, or against another derivation."""

import math

import numpy as np
import pytest

from imgcollapse import drift, theory

SES = 4.5  # standard errors: a true law fails one check in 150,000


def agrees(draws, law):
    """The mean of independent draws is the law's value, to `SES` standard errors of that mean."""
    draws = np.asarray(draws, dtype=float)
    assert abs(draws.mean() - law) < SES * draws.std(ddof=1) / math.sqrt(len(draws))


def replace(counts, t, lineages, rng):
    """Counts [K] after t generations of resampling, in many lineages: int[lineages, K]."""
    n = sum(counts)
    counts = np.tile(counts, (lineages, 1))
    for _ in range(t):
        counts = rng.multinomial(n, counts / n)
    return counts


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_survival_of_a_rare_class_has_the_published_values():
    assert theory.survival(60000, 5e-4, 100) == pytest.approx(0.4436, abs=5e-5)
    assert [theory.median_loss(m) for m in (5, 10, 20, 50, 100)] == [13, 27, 56, 142, 286]
    assert theory.survival_recursion(1) == 1
    assert theory.survival_recursion(2) == pytest.approx(1 - math.exp(-1), rel=1e-15)
    assert theory.survival_recursion(10000) == pytest.approx(2 / 10000, rel=2e-3)  # O(ln k / k)


def test_survival_and_classes_lost_are_what_branching_gives(rng):
    # Galton-Watson with Poisson(1) offspring from Poisson(n p) founders: the recursion is exact.
    n, p = 100, np.array([0.02, 0.1])
    alive = rng.poisson(n * p, size=(20000, 2))
    for _ in range(9):
        alive = rng.poisson(alive)
    for k, law in enumerate(theory.survival(n, p, 10)):
        agrees(alive[:, k] > 0, law)
    agrees((alive == 0).sum(axis=1), theory.classes_lost(n, [*p, 0.0], 10))


def test_survival_is_a_lower_bound_for_resampling(rng):
    alive = (replace([990, 10], 20, 20000, rng)[:, 1] > 0).mean()
    law = theory.survival(1000, 0.01, 20)
    assert law < alive < law + 0.02


def test_first_extinction_has_the_published_mean(rng):
    p = [0.6, 0.3, 0.06, 0.03, 0.01]
    assert theory.first_extinction_mean(1000, p) == pytest.approx(35.7, abs=0.05)
    counts, first = np.tile([600, 300, 60, 30, 10], (2000, 1)), np.zeros(2000)
    while (alive := (counts > 0).all(axis=1)).any():
        first += alive
        counts = rng.multinomial(1000, counts / 1000)
    agrees(first, theory.first_extinction_mean(1000, p))


def test_mean_of_the_first_extinction_is_the_sum_over_generations():
    p = [0.4, 0.3, 0.3]
    plain = sum(theory.first_extinction(20, p, k) for k in range(3000))
    # Pr(T > k) < prod(2 n p_i / k): what lies beyond 3000 is below 2304 / (2 3000^2).
    assert plain < theory.first_extinction_mean(20, p) < plain + 1.3e-4
    assert theory.first_extinction_mean(20, [1.0, 0.0]) == math.inf


def test_heterozygosity_under_replacement(rng):
    shares = replace([20, 20, 10], 15, 40000, rng) / 50
    agrees(drift.heterozygosity(shares), theory.heterozygosity_replace(0.64, 50, 15))


def test_heterozygosity_under_accumulation(rng):
    n, t, lineages = 20, 6, 40000
    pool = np.tile([10, 6, 4], (lineages, 1))
    for g in range(1, t + 1):
        born = rng.multinomial(n, pool / (g * n))
        pool = pool + born
    agrees(drift.heterozygosity(born / n), theory.heterozygosity_accumulate(0.62, n, t))
    agrees(
        drift.heterozygosity(pool / (n * (t + 1))),
        theory.heterozygosity_accumulate_pool(0.62, n, t),
    )


def test_accumulation_converges_to_the_sine():
    assert theory.heterozygosity_accumulate_limit(1, 200) == pytest.approx(0.9918, abs=5e-5)
    # The factors that are left beyond t lie within 1/(n t).
    late = theory.heterozygosity_accumulate(1, 200, 10**6)
    assert late == pytest.approx(theory.heterozygosity_accumulate_limit(1, 200), abs=1e-8)
    assert theory.heterozygosity_accumulate(0.3, 200, 0) == 0.3
    assert theory.heterozygosity_accumulate(0.3, 1, 5) == 0


def test_a_single_copy(rng):
    agrees(replace([49, 1], 1, 40000, rng)[:, 1] == 0, theory.lost_in_one_generation(50))
    assert theory.lost_in_one_generation(1) == 0


def test_transitions_of_two_images_are_exact():
    expected = [[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 1]]
    np.testing.assert_allclose(drift.transition(2), expected, atol=1e-15)
    # Half of the time it is still undecided: a geometric time of mean 2, whatever the end.
    assert drift.absorption_time_exact(2, 1) == pytest.approx(2, rel=1e-14)
    assert drift.loss_time_exact(2, 1) == pytest.approx(2, rel=1e-14)
    np.testing.assert_allclose(drift.loss_by(2, [1], 3), [[0, 0.25, 0.375, 0.4375]], rtol=1e-14)


def test_times_of_the_chain_are_those_of_resampling(rng):
    n, m = 40, 4
    copies, ends, losses = np.full(20000, m), np.zeros(20000), 0
    while (open_ := (copies > 0) & (copies < n)).any():
        ends += open_
        copies = rng.binomial(n, copies / n)
    agrees(ends, drift.absorption_time_exact(n, m))
    agrees(ends[copies == 0], drift.loss_time_exact(n, m))
    agrees((copies == 0) & (ends <= 10), drift.loss_by(n, [m], 10)[0, 10])
    losses = (copies == 0).mean()
    assert losses == pytest.approx(1 - m / n, abs=SES * math.sqrt(0.09 / 20000))


def test_the_diffusion_is_too_long_by_some_per_cent():
    for n, m in ((1000, 500), (1000, 20), (2000, 10)):
        excess = theory.absorption_time(n, m / n) / drift.absorption_time_exact(n, m) - 1
        assert 0 < excess < 0.06  # VALIDATION T5: 1 to 6%
        assert theory.loss_time(n, m / n) == pytest.approx(drift.loss_time_exact(n, m), rel=0.06)


@pytest.mark.parametrize("n", [1, 5])
def test_what_is_over_takes_no_time(n):
    assert drift.absorption_time_exact(n, 0) == drift.absorption_time_exact(n, n) == 0
    assert theory.absorption_time(n, 0) == theory.absorption_time(n, 1) == 0
    assert drift.loss_time_exact(n, 0) == theory.loss_time(n, 0) == 0
    assert drift.loss_time_exact(n, n) is theory.loss_time(n, 1) is None


def test_real_data_caps_the_variance(rng):
    n, a, p, lineages = 100, 0.2, 0.3, 20000
    fresh = fixed = np.full(lineages, p)
    for _ in range(40):  # (1-a)^(2 40) = 2e-8: stationary
        fresh = rng.binomial(n, (1 - a) * fresh + a * p) / n
        fixed = (rng.binomial(round((1 - a) * n), fixed) + a * n * p) / n
    agrees((fresh - p) ** 2 / (p * (1 - p)), theory.real_fraction_variance(n, a, True))
    agrees((fixed - p) ** 2 / (p * (1 - p)), theory.real_fraction_variance(n, a, False))


def test_real_data_has_the_published_values():
    assert theory.real_fraction_variance(1000, 0.1, True) == pytest.approx(0.00524, abs=5e-6)
    assert theory.real_fraction_variance(1000, 0.1, False) == pytest.approx(0.00471, abs=5e-6)
    assert theory.real_fraction_variance(1000, 0, True) == 1
    assert theory.real_fraction_variance(1000, 1, True) == 1 / 1000
    assert theory.real_fraction_chi_square(1000, 0.1, True, 10) == pytest.approx(
        9 * 0.00524, abs=5e-5
    )
    published = (0.93, 0.83, 0.44)
    for a, chance in zip((0, 0.01, 0.1), published, strict=True):
        assert theory.no_copy(1000, 0.002, a, 50) == pytest.approx(chance, abs=0.011)


def test_a_gaussian_of_its_own_samples(rng):
    n, k, lineages = 5, 8, 40000
    mean, sigma = np.zeros(lineages), np.ones(lineages)
    for _ in range(k):
        x = mean[:, None] + sigma[:, None] * rng.normal(size=(lineages, n))
        mean, sigma = x.mean(axis=1), x.std(axis=1, ddof=1)
    agrees(sigma, theory.gaussian_sigma(k, n))
    sample = mean + sigma * rng.normal(size=lineages)
    agrees(sample**2, theory.gaussian_mean_variance(k, n))
    assert (sigma > 0.5).mean() <= theory.gaussian_tail_bound(k, n, 0.5)
    assert theory.gaussian_sigma(100, 100) == pytest.approx(0.777, abs=5e-4)


def test_best_of_many_is_the_limit(rng):
    p, r, k = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.5, 1.0]), 400
    drawn = rng.choice(3, size=(20000, k), p=p)
    # The largest of reward plus Gumbel noise is a Bradley-Terry choice among K.
    kept = drawn[np.arange(20000), (r[drawn] + rng.gumbel(size=drawn.shape)).argmax(axis=1)]
    step = theory.preference_step(p, r)
    for c in range(3):
        # At finite K the limit is off by a relative Var[e^r] / (K E[e^r]^2) < 1/K.
        error = SES * math.sqrt(step[c] * (1 - step[c]) / 20000) + step[c] / k
        assert abs((kept == c).mean() - step[c]) < error
    value = np.exp(r)
    assert value @ (step - p) >= theory.preference_gain(p, r, k) > 0
    np.testing.assert_allclose(theory.preference_step(p, r + 1000), step, rtol=1e-12)


def test_divergence_is_bounded_only_below_the_threshold():
    assert theory.preference_divergence_bound(0.25, 3) == pytest.approx(math.log(2))
    assert theory.preference_divergence_bound(0.5, 3) is None


def test_regression_on_its_own_labels(rng):
    points, dimension, t = 30, 5, 4
    replaced, kept = [], []
    for _ in range(4000):
        x = rng.normal(size=(points, dimension))
        last, total, fit = np.zeros(dimension), np.zeros(dimension), np.zeros(dimension)
        for s in range(1, t + 1):
            last = last + np.linalg.lstsq(x, rng.normal(size=points), rcond=None)[0]
            total = total + fit + np.linalg.lstsq(x, rng.normal(size=points), rcond=None)[0]
            fit = total / s  # the same points, labelled by each fit so far
        replaced.append(last @ last)
        kept.append(fit @ fit)
    agrees(replaced, theory.regression_replace(points, dimension, 1.0, t))
    agrees(kept, theory.regression_accumulate(points, dimension, 1.0, t))
    bound = theory.regression_accumulate_bound(points, dimension, 1.0)
    assert theory.regression_accumulate(points, dimension, 1.0, 10**5) == pytest.approx(
        bound, rel=1e-5
    )


def test_detection_without_a_detector_is_a_fixed_share_of_real_data():
    # B is N for sure then: the recursion's fixed point is the island model's variance.
    for n, samples in ((200, 200), (50, 400)):
        course = theory.detection_variance(n, samples, 0.0, 0.0, 400)
        law = theory.real_fraction_variance(n + samples, n / (n + samples), fresh=False)
        assert course[0] == 0
        assert course[-1] == pytest.approx(law, rel=1e-12)


def test_detection_agrees_with_every_course_of_two_images():
    # A real image of each of two classes, and one sample found with chance 1/2: in a later training
    # set it is there with chance 1/2, when a class has 2 of 3. Squared shifts of 1/6, two classes.
    course = theory.detection_variance(2, 1, 0.5, 0.0, 2)
    assert course[1] == pytest.approx(0.5 * 2 * (1 / 6) ** 2 / 0.5, rel=1e-12)


def test_detection_is_what_a_simulation_gives(rng):
    n, samples, tpr, fpr, classes = 60, 120, 0.7, 0.1, 4
    real, ends = np.repeat(np.arange(classes), n // classes), []
    for _ in range(1500):
        left = np.bincount(real[rng.random(n) >= fpr], minlength=classes)
        x = left / left.sum()
        for _ in range(5):
            born = rng.multinomial(rng.binomial(samples, 1 - tpr), x)
            x = (left + born) / (left + born).sum()
        ends.append(np.square(x - left / left.sum()).sum() / (1 - 1 / classes))
    agrees(ends, theory.detection_variance(n, samples, tpr, fpr, 6)[-1])


def test_a_perfect_detector_leaves_the_real_sample_alone_and_misses_must_vanish():
    assert not theory.detection_variance(50, 500, 1.0, 0.0, 20).any()

    def limit(synthetic):
        total = 50 + synthetic  # 50 real images, always the same
        return theory.real_fraction_variance(total, 50 / total, fresh=False)

    # 2 n V: to 1 as the real share vanishes and a tenth is missed, not so if n/2 in all are.
    missed, vanishing = (
        [100 * limit(50 * k * (1 - tpr(k))) for k in (1, 100, 10000)]
        for tpr in (lambda k: 0.9, lambda k: 1 - 0.5 / k)
    )
    assert missed == sorted(missed)
    assert missed[-1] == pytest.approx(1, abs=0.02)
    # a = 2/3 for every lambda: (1-a)/[M (1-(1-a)^2) + (1-a)] with M = 75.
    assert vanishing == pytest.approx([100 / 3 / (75 * 8 / 9 + 1 / 3)] * 3, rel=1e-12)
