"""Verifier, balance, diversity: what each keeps, by its own rule."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.distance import pdist

import imgcollapse as ic
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Balance, Diversity, Verifier
from imgcollapse.curation.diversity import evenly, farthest_first

SEED = Seed(("choosers",))


def darkness(pixels):
    """A scorer of a user's own."""
    return -pixels.float().mean((1, 2, 3)).numpy()


def broken(pixels):
    return np.full(len(pixels), np.nan)


def rows(judge, seen):
    return judge.keep(seen, SEED).rows.tolist()


def test_the_verifier_keeps_the_most_plausible_share_in_their_own_order(shown):
    far = torch.tensor([3.0, 0.5, 9.0, 1.0, 2.0], dtype=torch.float64)
    seen = shown([0, 1, -1, 2, 0], atypicality=far)
    assert rows(Verifier(keep_share=0.6), seen) == [1, 3, 4]
    assert rows(Verifier(keep_share=1.0), seen) == [0, 1, 2, 3, 4]


def test_without_a_share_as_many_real_images_pass_as_the_level_says(shown):
    held_out = torch.arange(1000, dtype=torch.float64)
    real = shown([0] * 1000, atypicality=held_out, held_out=held_out)
    # The quantile lies between two order statistics, so one image of a thousand is open.
    assert len(rows(Verifier(level=0.9), real)) == pytest.approx(900, abs=1)
    assert Verifier(level=0.9).keep_fraction() == 1


def test_by_confidence_what_is_not_recognised_comes_last(shown):
    sure = torch.tensor([[0.9, 0.1, 0], [0.6, 0.4, 0], [1, 0, 0], [0.8, 0.2, 0]])
    seen = shown([0, 0, -1, 0], probabilities=sure)
    assert rows(Verifier(by="confidence", keep_share=0.75), seen) == [0, 1, 3]


def test_a_scorer_of_ones_own(shown):
    images = ic.Images(
        torch.tensor([5, 200, 90, 0], dtype=torch.uint8).view(4, 1, 1, 1), torch.zeros(4).short()
    )
    seen = shown([0, 0, 0, 0], images=images)
    assert rows(Verifier(scorer=f"{__name__}:darkness", keep_share=0.5), seen) == [0, 3]
    with pytest.raises(UserError, match="one finite number for each image"):
        rows(Verifier(scorer=f"{__name__}:broken", keep_share=0.5), seen)


@pytest.mark.parametrize("settings", [{"by": "confidence"}, {"scorer": f"{__name__}:darkness"}])
def test_a_bar_that_nobody_knows_is_refused(settings):
    with pytest.raises(ValidationError, match="keep_share is needed"):
        Verifier(**settings)


def test_balance_keeps_all_of_the_rare_and_some_of_the_common(shown):
    counted = [0] * 10 + [1] * 4 + [2] + [-1] * 5
    kept = rows(Balance(keep_share=0.5), shown(counted))
    assert kept == sorted(kept)
    assert kept[5:] == [10, 11, 12, 13, 14]
    assert kept[4] < 10
    # Fewer are recognised than are wanted: what is like no real image stays out.
    assert rows(Balance(keep_share=1.0), shown(counted)) == list(range(15))
    assert rows(Balance(), shown([-1, -1])) == []


def test_the_first_places_of_a_balanced_pool_are_as_balanced_as_all_of_it(shown):
    """A regime may take fewer than are kept: the first."""
    rng = torch.Generator().manual_seed(3)
    counted = (torch.rand(4000, generator=rng) < 0.1).short()
    kept = counted[rows(Balance(keep_share=0.5), shown(counted))]
    rare, half = int((counted == 1).sum()), kept[:1000]
    assert len(kept) == 2000
    assert int((kept == 1).sum()) == rare
    # Hypergeometric: 1000 of 2000 places.
    deviation = (rare * 0.5 * 0.5 * (2000 - rare) / 1999) ** 0.5
    assert abs(int((half == 1).sum()) - rare / 2) < 4 * deviation


def test_evenly_no_group_lags_two_behind_another():
    groups = torch.from_numpy(np.random.default_rng(0).integers(0, 7, 200))
    for wanted in (1, 50, 120, 200):
        chosen = evenly(groups, wanted, SEED)
        assert len(chosen.unique()) == wanted
        counts = np.bincount(groups[chosen], minlength=7)
        unused = counts < np.bincount(groups, minlength=7)
        assert counts[unused].min(initial=wanted) >= counts.max() - 1


def test_farthest_first_spreads_at_least_half_as_well_as_anybody_can():
    points = torch.from_numpy(np.random.default_rng(1).normal(size=(12, 2)))
    chosen = farthest_first(points, 4)
    reached = pdist(points[chosen]).min()
    from itertools import combinations

    best = max(pdist(points[list(some)]).min() for some in combinations(range(12), 4))
    assert best / 2 <= reached <= best


@pytest.mark.parametrize("method", ["farthest-first", "k-means"])
def test_diversity_finds_a_small_cluster_beside_a_large_one(shown, method):
    rng = np.random.default_rng(2)
    features = torch.from_numpy(rng.normal(0, 0.1, (100, 2))).float()
    features[97:] += torch.tensor([10.0, 0.0])
    seen = shown([0] * 100, features=features)
    kept = rows(Diversity(method=method, keep_share=0.1, clusters=5), seen)
    assert len(kept) == 10
    assert any(row >= 97 for row in kept)
    assert rows(Diversity(method=method, keep_share=0.1, clusters=5), seen) == kept


@pytest.mark.parametrize("method", ["farthest-first", "k-means"])
def test_images_that_are_all_the_same_are_kept_once_each(shown, method):
    seen = shown([0] * 9, features=torch.ones(9, 4))
    kept = rows(Diversity(method=method, keep_share=0.5), seen)
    assert len(kept) == len(set(kept)) == 4


@pytest.mark.parametrize(
    "judge",
    [
        "{kind: verifier, keep_share: 0.5}",
        "verifier",
        "balance",
        "diversity",
        "{kind: diversity, method: k-means}",
        "[{kind: balance, keep_share: 0.8}, {kind: verifier, keep_share: 0.625}]",
    ],
)
def test_every_chooser_runs_by_config_alone(config, tmp_path, judge):
    run = ic.run(config, tmp_path / "run", [f"curation={judge}", "samples=80", "generations=2"])
    kept = run.curation[run.curation.generation == 1].kept.sum()
    assert kept <= (80 if judge == "verifier" else 40)
    assert len(run.lineages[0].training_set(2)) == min(kept, 40)
