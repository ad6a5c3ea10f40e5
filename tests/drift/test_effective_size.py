import math

import numpy as np
import pytest

from imgcollapse import drift
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import Accumulate, RealFraction, Replace

from .simulated_shares import lineages, real_labels

SEED = Seed((2,))


def test_independent_samples_recover_the_true_size():
    rng, size, t, m, classes = np.random.default_rng(0), 500, 5, 400, 20
    rates, covered = [], []
    for _ in range(1500):
        p = np.full(classes, 1 / classes)
        before = rng.multinomial(m, p)
        for _ in range(t):
            p = rng.multinomial(size, p) / size
        found = drift.effective_size(before, rng.multinomial(m, p), t)
        # 1/N_e is what is unbiased; where drift is lost in sampling it is about zero.
        rates.append(1 / found.value if found.value else 0)
        covered.append((found.low or math.inf) <= size <= (found.high or math.inf))
    rate, error = np.mean(rates), np.std(rates) / math.sqrt(len(rates))
    # Drift over t generations is 1 - (1 - 1/N)^t, not t/N: 502 is what this estimator sees.
    assert abs(rate - (1 - (1 - 1 / size) ** t) / t) < 3 * error
    assert abs(np.mean(covered) - 0.95) < 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_the_formula_by_hand():
    # x = (.5, .5), y = (.8, .2): F_S = .18 / (2 * .65 * .35); 1/s = 1/50.
    f_s = 0.18 / 0.455
    drifted = (f_s * (1 - 0.02 / 4) - 0.02) / ((1 + f_s / 4) * (1 - 1 / 100))
    found = drift.effective_size([50, 50], [80, 20], 3)
    assert found.value == pytest.approx(3 / drifted, rel=1e-12)
    assert found.low < found.value < found.high


def test_sizes_that_cannot_be_told():
    same = drift.effective_size([50, 50], [50, 50], 1)
    assert (same.value, same.low, same.high) == (None, None, None)
    assert "sampling alone" in same.reason
    assert "only one class" in drift.effective_size([9, 0], [7, 0], 1).reason
    assert "too few images" in drift.effective_size([1, 0], [1, 0], 1).reason
    assert "too few images" in drift.effective_size([0, 0], [1, 5], 1).reason
    with pytest.raises(UserError, match="do not match"):
        drift.effective_size([1, 2], [1, 2, 3], 1)
    with pytest.raises(UserError, match="0 generations apart"):
        drift.effective_size([1, 2], [1, 2], 0)


def null_of(regime, n, generations=8):
    real = real_labels(n)
    return drift.simulate(regime, None, real, real[:0], n, generations, 5, SEED, 1000)


@pytest.mark.parametrize("regime", [Replace(), Accumulate(), RealFraction()])
def test_a_perfect_learner_has_its_own_size(regime):
    null = null_of(regime, 1000)
    other = drift.simulate(
        regime, None, real_labels(1000), real_labels(1000)[:0], 1000, 8, 5, Seed((21,)), 300
    )
    found = [drift.relative_size(x, null, SEED).pooled for x in other.shares]
    covered = np.mean([f.low <= 1 <= f.high for f in found])
    assert abs(covered - 0.95) < 3 * math.sqrt(0.05 * 0.95 * (1 / 300 + 1 / 1000))


def test_half_the_images_are_half_the_size():
    # A learner that remembers 250 of its 1000 images drifts as if it had 200 = 1/(1/250 + 1/1000).
    null, rng = null_of(Replace(), 1000), np.random.default_rng(0)
    x = np.zeros((40, 9, 5))
    x[:, 0] = null.shares[0, 0]
    for g in range(1, 9):
        kept = rng.multinomial(250, x[:, g - 1]) / 250
        x[:, g] = rng.multinomial(1000, kept) / 1000
    found = drift.relative_size(x, null, SEED)
    # Forty lineages of eight generations of about three degrees of freedom: 5% standard error.
    assert found.pooled.value == pytest.approx(0.2, rel=0.2)
    assert found.pooled.low <= 0.2 <= found.pooled.high < 0.3
    assert len(found.generations) == 8
    assert all(g.low < g.value < g.high for g in found.generations)


def test_the_error_of_the_oracle_is_taken_off():
    null, rng = null_of(Replace(), 1000), np.random.default_rng(1)
    x = lineages("replace", 40, 1000, 8, rng)
    x[:, 1:] += rng.normal(scale=0.006, size=x[:, 1:].shape)
    noise = np.full((9, 5), 0.006**2)
    noise[0] = 0
    with_noise = drift.relative_size(x, null, SEED, noise).pooled
    assert with_noise.low <= 1 <= with_noise.high
    assert drift.relative_size(x, null, SEED).pooled.high < 1
    still = np.repeat(null.shares[:1, :1], 9, axis=1)
    reason = drift.relative_size(still, null, SEED, noise).pooled.reason
    assert reason == "no change beyond the error of measurement"


def test_one_class_cannot_drift():
    null = null_of(Replace(), 100, 2)
    alone = np.zeros((3, 5))
    alone[:, 0] = 1
    found = drift.relative_size(alone, null, SEED)
    assert found.generations[0].value is not None  # the real shares were others
    assert "only one class" in found.generations[1].reason
    labels = real_labels(100) * 0
    frozen = drift.simulate(Accumulate(), None, labels, labels[:0], 100, 3, 5, SEED, 200)
    assert "only one class" in drift.relative_size(frozen.shares[0], frozen, SEED).pooled.reason
    with pytest.raises(UserError, match="simulate as many of both"):
        drift.relative_size(null.shares[0, :2], null, SEED)
