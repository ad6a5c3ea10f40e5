import math

import numpy as np
import pytest
import torch

from imgcollapse import drift, theory
from imgcollapse.core.errors import UserError
from imgcollapse.core.lineage_images import TrainingSet
from imgcollapse.core.seeds import Seed
from imgcollapse.label_policy import TrainingMarginal, Uniform
from imgcollapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Fresh,
    RealFraction,
    RealOnly,
    RealPlusSynthetic,
    Replace,
)

from .simulated_shares import SHARES, lineages, real_labels

SES = 4.5  # standard errors: a true law fails one check in 150,000
NONE = torch.empty(0, dtype=torch.int16)
REAL = real_labels(200)
RESERVE = real_labels(2000, seed=6)


def replay(regime, generations=4, samples=200, replicates=1000, **others):
    given = {"asked": None, "history": ()} | others
    return drift.simulate(
        regime,
        given["asked"],
        given.get("real", REAL),
        RESERVE,
        samples,
        generations,
        5,
        Seed((3,)),
        replicates,
        given["history"],
    )


class Peeping:
    """The same rows, but the seed is touched: replayed one replicate at a time."""

    def __init__(self, regime):
        self.regime = regime

    def select(self, images, g, seed):
        int(seed)
        return self.regime.select(images, g, seed)


class Half:
    """A user's regime: every other sample of each generation, some of them twice."""

    def select(self, images, g, seed):
        rows = torch.arange(0, images.size(g - 1), 2)
        return TrainingSet.from_generation(
            g - 1, torch.cat([rows, rows[: g * 3]])
        ) + TrainingSet.from_generation(0, rows[:9])


REGIMES = [
    Replace(),
    Accumulate(),
    AccumulateSubsample(),
    RealFraction(fraction=0.2),
    RealFraction(fraction=0.2, fresh=True),
    RealPlusSynthetic(ratio=0.5),
    Fresh(),
    RealOnly(),
    Half(),
]


def name(regime):
    return type(regime).__name__


@pytest.mark.parametrize("regime", REGIMES, ids=name)
def test_under_chance_innovations_have_no_mean(regime):
    null = replay(regime, samples=300)
    innovation = null.shares - null.given(null.shares)
    error = innovation.std(axis=0) / math.sqrt(len(null.shares))
    assert (np.abs(innovation.mean(axis=0)) <= SES * error + 1e-15).all()


@pytest.mark.parametrize("regime", REGIMES, ids=name)
def test_every_training_image_has_a_source(regime):
    null = replay(regime, replicates=200)
    np.testing.assert_allclose(null.sources[1:].sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(null.real.sum(axis=1), null.sources[:, 0], atol=1e-12)
    np.testing.assert_allclose(null.shares.sum(axis=2), 1, rtol=1e-12)
    np.testing.assert_array_equal(np.triu(null.sources), 0)


def test_sources_are_those_of_the_regime():
    np.testing.assert_allclose(replay(Replace()).sources[4], [0, 0, 0, 1, 0])
    np.testing.assert_allclose(replay(Accumulate()).sources[4], [0.25] * 4 + [0], rtol=1e-12)
    fixed = replay(RealFraction(fraction=0.2))
    np.testing.assert_allclose(fixed.sources[4], [0.2, 0, 0, 0.8, 0], rtol=1e-12)
    counted = np.bincount(REAL[:40], minlength=5) / 200
    np.testing.assert_allclose(fixed.real[4], counted, rtol=1e-12)
    fresh = replay(RealFraction(fraction=0.2, fresh=True))
    counted = np.bincount(RESERVE[80:120], minlength=5) / 200
    np.testing.assert_allclose(fresh.real[4], counted, rtol=1e-12)


@pytest.mark.parametrize(
    "regime", [r for r in REGIMES if name(r) != "AccumulateSubsample"], ids=name
)
def test_counting_and_one_by_one_are_the_same_law(regime):
    fast, slow = replay(regime, samples=300), replay(Peeping(regime), samples=300, replicates=400)
    np.testing.assert_allclose(fast.sources, slow.sources, atol=1e-12)
    np.testing.assert_allclose(fast.real, slow.real, atol=1e-12)
    for moment in (1, 2):
        # Products of two generations too: rows that are used again keep their labels.
        a, b = ((null.shares[:, -1] * null.shares[:, -2] ** (moment - 1)) for null in (fast, slow))
        error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= SES * error + 1e-15).all()


@pytest.mark.parametrize("regime", ["replace", "accumulate", "real-fraction"])
def test_a_plain_twin_has_the_same_variance(regime):
    n, fixed = 200, np.bincount(REAL[:20], minlength=5)
    part = {"replace": Replace(), "accumulate": Accumulate(), "real-fraction": RealFraction()}
    null = replay(part[regime], generations=5, replicates=4000)
    twin = lineages(regime, 4000, n, 5, np.random.default_rng(1), fixed=fixed)
    a, b = ((x[:, 5, :3] - SHARES[:3]) ** 2 for x in (null.shares, twin))
    error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 4000)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < SES * error).all()


def test_heterozygosity_is_the_closed_forms():
    for regime, law in (
        (Replace(), theory.heterozygosity_replace),
        (Accumulate(), theory.heterozygosity_accumulate),
    ):
        h = drift.heterozygosity(replay(regime, generations=6, replicates=4000).shares)
        expected = [law(float(h[0, 0]), 200, t) for t in range(7)]
        error = h.std(axis=0) / math.sqrt(4000)
        assert (np.abs(h.mean(axis=0) - expected) <= SES * error + 1e-12).all()


@pytest.mark.parametrize("regime", [Replace(), Accumulate(), AccumulateSubsample()], ids=name)
def test_more_generations_leave_the_earlier_ones(regime):
    long = replay(regime, generations=4, replicates=200)
    for short in (replay(regime, generations=g, replicates=200) for g in (1, 3)):
        born = short.shares.shape[1]
        np.testing.assert_array_equal(short.shares, long.shares[:, :born])


def test_history_is_kept_and_chance_goes_on_from_it():
    past = [torch.tensor([0, 1] * 100, dtype=torch.int16), torch.ones(200, dtype=torch.int16)]
    for regime in (Replace(), Peeping(Replace())):
        null = replay(regime, history=past, replicates=200)
        assert (null.shares[:, 1, :2] == 0.5).all()
        assert (null.shares[:, 2:, 1] == 1).all()  # one class alone stays so


def test_images_without_a_name_are_left_out():
    past = [torch.tensor([-1] * 150 + [0, 1] * 25, dtype=torch.int16)]
    for regime in (Replace(), Peeping(Replace())):
        null = replay(regime, generations=2, history=past)
        assert (null.shares[:, 1, :2] == 0.5).all()
        assert null.sources[2, 1] == 1
        assert (null.shares[:, 2, :2].sum(axis=1) == 1).all()
    mush = [torch.full((200,), -1, dtype=torch.int16)]
    with pytest.raises(UserError, match="training set of generation 2 has a class"):
        replay(Replace(), generations=2, history=mush)
    assert replay(Replace(), generations=1, history=mush).shares.shape == (1000, 2, 5)


def test_a_policy_decides_what_is_asked():
    uniform = replay(Replace(), asked=Uniform().shares)
    np.testing.assert_allclose(uniform.given(uniform.shares)[:, 1:], 0.2)
    error = uniform.shares[:, 1:].std(axis=0) / math.sqrt(1000)
    assert (np.abs(uniform.expected[1:] - 0.2) < SES * error).all()
    plain, asked = replay(Replace()), replay(Replace(), asked=TrainingMarginal().shares)
    np.testing.assert_array_equal(plain.shares, asked.shares)


def test_most_replicates_lie_within_the_band():
    null = replay(Replace())
    for confidence in (0.5, 0.95):
        low, high = null.band(confidence)
        assert (((null.shares >= low) & (null.shares <= high)).mean(axis=0) >= confidence).all()
        tail = (1 - confidence) / 2
        assert ((null.shares < low).mean(axis=0) <= tail).all()
        assert ((null.shares > high).mean(axis=0) <= tail).all()


def test_random_rows_of_many_images_make_fewer_replicates(monkeypatch):
    monkeypatch.setattr("imgcollapse.drift.null_model.LABELS", 200 * 300)
    assert len(replay(AccumulateSubsample(), generations=1).shares) == 300
    assert len(replay(AccumulateSubsample(), generations=1, samples=2000).shares) == 200
    assert len(replay(Replace(), generations=1, samples=2000).shares) == 1000


@pytest.mark.parametrize("regime", [Accumulate(), AccumulateSubsample()], ids=name)
def test_one_image_and_one_class(regime):
    one = torch.zeros(1, dtype=torch.int16)
    null = drift.simulate(regime, None, one, NONE, 1, 3, 1, Seed((1,)), 200)
    assert (null.shares == 1).all()
    assert (null.given(null.shares) == 1).all()


def test_a_reserve_that_runs_dry_is_an_error():
    for regime in (Fresh(), Peeping(Fresh())):
        with pytest.raises(UserError, match="of 2000; give a larger reserve"):
            replay(regime, generations=12)
    with pytest.raises(UserError, match="2 generations were observed and only 1"):
        replay(Replace(), generations=1, history=[REAL, REAL])
