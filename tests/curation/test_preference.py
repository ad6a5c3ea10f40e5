"""Bradley-Terry choice: its probabilities, its law over generations, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contexts import run_context
from scipy.stats import binom

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Preference, choose, curate
from imgcollapse.generators import Resample
from imgcollapse.theory import preference_step

SEED = Seed(("preference",))
CPU = Device(torch.device("cpu"), torch.float32)
FOUR_SE = 4.0
"""Standard errors allowed: a right choice fails one comparison in 16,000."""


@pytest.mark.parametrize("rewards", [[0.0, 1.0], [0.0, 0.0, 0.0], [-2.0, 0.3, 1.0, 1.5]])
def test_a_candidate_wins_with_probability_softmax(rewards):
    n = 40_000
    won = np.bincount(choose(np.tile(rewards, (n, 1)), SEED), minlength=len(rewards)) / n
    expected = np.exp(rewards) / np.exp(rewards).sum()
    assert (np.abs(won - expected) < FOUR_SE * np.sqrt(expected * (1 - expected) / n)).all()


def test_only_differences_of_rewards_matter_and_huge_ones_do_not_overflow():
    rewards = np.random.default_rng(0).normal(size=(500, 3))
    # 2^20 more is exact to 2^-32, far below the gap between the best two of 500 noisy rows.
    assert (choose(rewards, SEED) == choose(rewards + 2**20, SEED)).all()
    assert (choose(np.tile([0.0, 1e300, -1e300], (9, 1)), SEED) == 1).all()


def test_the_same_name_is_the_same_choice_and_another_is_not():
    rewards = np.zeros((200, 5))
    assert (choose(rewards, SEED) == choose(rewards, SEED)).all()
    assert (choose(rewards, SEED) != choose(rewards, SEED / 1)).any()


def test_one_candidate_wins_and_no_rows_are_no_choices():
    one = choose(np.zeros((3, 1)), SEED)
    assert one.tolist() == [0, 0, 0]
    assert one.dtype == np.int64
    assert choose(np.zeros((0, 4)), SEED).shape == (0,)


@pytest.mark.parametrize(
    "rewards", [np.zeros((3, 0)), np.zeros(3), np.array([[0.0, np.inf]]), np.array([[np.nan, 0.0]])]
)
def test_bad_rewards_are_refused_in_one_line(rewards):
    with pytest.raises(UserError, match=r"^rewards: [^\n]+$"):
        choose(rewards, SEED)


def fittest(x, k, reward=1.0):
    """Share of the rewarded of two classes after one best of k, from x: the exact expectation."""
    rivals = np.arange(k)
    chance = binom.pmf(rivals, k - 1, x)
    against = rivals * np.exp(reward) + (k - 1 - rivals)
    return k * x * float((chance * np.exp(reward) / (np.exp(reward) + against)).sum())


@pytest.mark.parametrize("k", [2, 8])
def test_retrained_on_what_is_kept_classes_follow_the_replicator_law(shown, k):
    """Resample, filter, three times; the filter and the generator are those of a study."""
    n, lineages, three_se = 400, 30, 3.0
    classes, ends, expected = ("plain", "liked"), [], []
    judge = Preference(among=k, reward={"liked": 1.0})
    for i in range(lineages):
        labels = torch.cat([torch.zeros(320), torch.ones(80)]).short()
        for t in range(3):
            seed = SEED / "law" / k / i / t
            images = Images(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels)
            model = Resample().fit(images, run_context(seed / "fit"))
            drawn = model.sample(torch.full((n * k,), -1).short(), run_context(seed / "sample"))
            kept = curate([judge], shown(drawn.labels, classes=classes), seed / "curate")
            assert len(kept) == n
            before, labels = float(labels.double().mean()), drawn.labels[kept.rows.long()]
            expected.append(fittest(before, k))
            ends.append(float(labels.double().mean()))
    # Each step's expectation is exact given the step before; their differences are a martingale.
    off = np.array(ends) - np.array(expected)
    assert abs(off.mean()) < three_se * off.std(ddof=1) / np.sqrt(len(off))
    # ... and the exact step nears p exp(r) / sum as K grows.
    limit = preference_step(np.array([0.8, 0.2]), np.array([0.0, 1.0]))[1]
    assert abs(fittest(0.2, 512) - limit) < 0.005 < abs(fittest(0.2, 2) - limit)
