"""Bradley-Terry choice: its probabilities, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import choose

SEED = Seed(("preference",))
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
