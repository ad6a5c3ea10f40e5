import pytest
import torch

from imgcollapse.core.images import unlabeled
from imgcollapse.core.lineage_images import RESERVE, LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Fresh,
    RealFraction,
    RealOnly,
    RealPlusSynthetic,
    Replace,
)

N = 20
SEED = Seed((0,))


class Reserve:
    labels = torch.zeros(1000, dtype=torch.int16)

    def read(self, rows):
        return torch.zeros(len(rows), 1, 1, 1, dtype=torch.uint8)


@pytest.fixture
def archive():
    """Generation 0 of N images, then four of 2 N samples."""
    images = unlabeled(torch.zeros(2 * N, 1, 1, 1, dtype=torch.uint8))
    archive = LineageImages(images[:N], Reserve())
    for _ in range(4):
        archive.append(images)
    return archive


def rows(chosen):
    return list(zip(chosen.generation.tolist(), chosen.row.tolist(), strict=True))


REGIMES = [
    Replace(),
    Accumulate(),
    AccumulateSubsample(),
    RealFraction(fraction=0.25),
    RealFraction(fraction=0.25, fresh=True),
    RealFraction(fraction=0.25, redrawn=True),
    RealPlusSynthetic(ratio=0.5),
    Fresh(),
    RealOnly(),
]


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_the_first_model_sees_generation_zero_and_no_image_is_ever_taken_twice(regime, archive):
    assert rows(regime.select(archive, 1, SEED)) == [(0, r) for r in range(N)]
    for g in range(2, 6):
        chosen = rows(regime.select(archive, g, SEED / g))
        assert len(set(chosen)) == len(chosen)
        assert all(source < g for source, _ in chosen)


def test_replace_takes_the_previous_generation_alone(archive):
    assert rows(Replace().select(archive, 4, SEED)) == [(3, r) for r in range(N)]


def test_accumulate_takes_n_of_every_generation(archive):
    chosen = Accumulate().select(archive, 5, SEED)
    assert torch.bincount(chosen.generation.long()).tolist() == [N] * 5


def test_accumulate_subsample_draws_n_evenly_from_all(archive):
    regime, draws = AccumulateSubsample(), 400
    sets = [regime.select(archive, 5, SEED / i) for i in range(draws)]
    assert all(len(s) == N for s in sets)
    counts = torch.bincount(torch.cat([s.generation for s in sets]).long(), minlength=5).double()
    # Each set is hypergeometric: N of 5 N rows, N of them in a generation.
    variance = draws * N * (1 / 5) * (4 / 5) * (5 * N - N) / (5 * N - 1)
    assert ((counts - draws * N / 5).abs() < 4 * variance**0.5).all()


def test_a_fixed_real_fraction_is_the_same_subset_each_time(archive):
    regime = RealFraction(fraction=0.25)
    real = [[r for g, r in rows(regime.select(archive, g, SEED / g)) if g == 0] for g in (2, 5)]
    assert real[0] == real[1]
    assert len(real[0]) == N // 4
    assert regime.fresh_used(N, 5) == 0


@pytest.mark.parametrize("regime", [RealFraction(fraction=0.25, fresh=True), Fresh()], ids=repr)
def test_fresh_images_are_never_used_again_and_the_need_is_told_beforehand(regime, archive):
    used = []
    for g in range(1, 6):
        used += [r for source, r in rows(regime.select(archive, g, SEED)) if source == RESERVE]
    assert len(used) == len(set(used)) == regime.fresh_used(N, 5)
    assert max(used) < regime.fresh_used(N, 5)


def test_all_real_plus_lambda_synthetic(archive):
    regime = RealPlusSynthetic(ratio=1.5)
    chosen = regime.select(archive, 3, SEED)
    assert torch.bincount(chosen.generation.long()).tolist() == [N, 0, 3 * N // 2]
    assert regime.samples_used(N) == 3 * N // 2


def test_real_only_never_changes(archive):
    assert rows(RealOnly().select(archive, 5, SEED)) == [(0, r) for r in range(N)]


def test_redrawn_real_images_are_all_of_generation_zero_in_turn(archive):
    regime = RealFraction(fraction=0.25, redrawn=True)
    real = [
        {r for source, r in rows(regime.select(archive, g, SEED / g)) if source == 0}
        for g in range(2, 6)
    ]
    assert {len(some) for some in real} == {5}
    assert len(set.union(*real)) > 10
    assert rows(regime.select(archive, 3, SEED)) == rows(regime.select(archive, 3, SEED))


def test_real_images_come_from_one_place():
    with pytest.raises(ValueError, match="set one of them"):
        RealFraction(fresh=True, redrawn=True)
