"""The loop on labels alone, and the theory that this room adds to the drift room's."""

from __future__ import annotations

import math
from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch

from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import Resample
from imgcollapse.regimes import Accumulate, RealFraction, Replace
from imgcollapse.theory import heterozygosity_replace, preference_step
from imgcollapse.tools.validate.curation import REWARDS, best_of
from imgcollapse.tools.validate.generators import PATTERNS, patterns
from imgcollapse.tools.validate.lineages import counts, heterozygosity, labels_of, lineage
from imgcollapse.tools.validate.regimes import heterozygosity_subsample

SEED = Seed(("lineages",))


def test_each_model_learns_what_its_regime_picks():
    real = labels_of(3, 2)
    generations = list(lineage(Replace(), Resample(), real, SEED, 4))
    assert generations[0].training.tolist() == [0, 0, 0, 1, 1]
    for before, after in pairwise(generations):
        assert after.training.tolist() == before.samples.tolist()


def test_accumulated_training_sets_grow_by_n():
    generations = list(lineage(Accumulate(), Resample(), labels_of(4, 2), SEED, 3))
    assert [len(generation.training) for generation in generations] == [6, 12, 18]
    assert all(len(generation.samples) == 6 for generation in generations)
    assert generations[2].training[6:].tolist() == [
        *generations[0].samples.tolist(),
        *generations[1].samples.tolist(),
    ]


def test_fresh_real_labels_come_from_the_reserve():
    regime = RealFraction(fraction=0.5, fresh=True)
    reserve = LabelsOnly(torch.arange(2, 6, dtype=torch.int16))
    generations = list(lineage(regime, Resample(), labels_of(2, 2), SEED, 3, reserve))
    assert generations[1].training[:2].tolist() == [2, 3]
    assert generations[2].training[:2].tolist() == [4, 5]


def test_a_longer_lineage_begins_like_a_shorter_one():
    short, long = (list(lineage(Replace(), Resample(), labels_of(9, 9), SEED, g)) for g in (2, 5))
    assert long[1].samples.tolist() == short[1].samples.tolist()


def test_counts_and_heterozygosity():
    labels = labels_of(3, 0, 1)
    assert counts(labels, 4).tolist() == [3, 0, 1, 0]
    assert heterozygosity(labels) == 1 - (9 + 1) / 16


def test_subsampling_agrees_with_every_course_of_two_images():
    # Two founders, one image of each: all equally likely courses of generations 1 and 2.
    first, second = [], []
    for born in product((0, 1), repeat=2):
        first.append(_differ(born))
        for picked in combinations((0, 1, *born), 2):
            second += [_differ(drawn) for drawn in product(picked, repeat=2)]
    expected = heterozygosity_subsample(2, 2)
    start = 0.5
    # Sums of a few dozen halves: exact but for the rounding of the formula.
    assert expected[0] == pytest.approx(np.mean(first) / start, rel=1e-14)
    assert expected[1] == pytest.approx(np.mean(second) / start, rel=1e-14)
    assert expected[0] == heterozygosity_replace(1, 2, 1)


def _differ(pair) -> float:
    return 0.5 if pair[0] != pair[1] else 0.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_best_of_agrees_with_every_set_of_candidates(k):
    p = np.array([0.5, 0.3, 0.2])
    expected = np.zeros(3)
    for shown in product(range(3), repeat=k):
        chance = np.exp(REWARDS[list(shown)]) / np.exp(REWARDS[list(shown)]).sum()
        for candidate, won in zip(shown, chance, strict=True):
            expected[candidate] += won * math.prod(p[c] for c in shown)
    np.testing.assert_allclose(best_of(p, REWARDS, k), expected, rtol=1e-12)  # some 100 roundings


def test_best_of_many_comes_near_ferbachs_limit():
    # The mean of K - 1 weights stands in for its expectation: an error of order 1/K.
    p = np.array([0.5, 0.3, 0.2])
    limit = preference_step(p, REWARDS)
    far, near = (np.abs(best_of(p, REWARDS, k) - limit).max() for k in (64, 128))
    assert 1.9 < far / near < 2.1


def test_patterns_are_orthonormal():
    # Sums of 256 products of float64 cosines.
    np.testing.assert_allclose(patterns() @ patterns().T, np.eye(PATTERNS), atol=1e-13)
