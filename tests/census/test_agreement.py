"""People against the oracle: counts are exact, and intervals are those of binomial shares."""

import torch

from imgcollapse.census import Agreement
from imgcollapse.core.estimate import wilson_interval
from imgcollapse.core.images import UNKNOWN


def labels(*values):
    return torch.tensor(values, dtype=torch.int16)


def test_every_pair_is_counted_once_in_its_cell():
    people = labels(0, 0, 1, 1, UNKNOWN, UNKNOWN, 0)
    oracle = labels(0, 1, 1, UNKNOWN, UNKNOWN, 0, 0)
    found = Agreement.of(people, oracle, 2)
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert (found.n, found.agreed) == (7, 4)
    assert found.accuracy == wilson_interval(4, 7)[:3]
    # Shares are among the five that people name: nonsense is of no class.
    assert list(found.shares()) == [wilson_interval(3, 5)[:3], wilson_interval(2, 5)[:3]]


def test_nobody_has_said_anything():
    found = Agreement.of(labels(), labels(), 3)
    assert found.accuracy is None
    assert list(found.shares()) == [None] * 3


def test_a_random_sample_finds_the_oracles_accuracy_on_samples():
    """95% intervals hold it in about 95% of samples; the doubtful alone put it far too low."""
    draw = torch.Generator().manual_seed(0)
    sure = torch.rand(20_000, generator=draw)
    truth = torch.randint(3, (20_000,), generator=draw).to(torch.int16)
    right = torch.rand(20_000, generator=draw) < 0.5 + sure / 2  # 3 of 4 on average
    oracle = torch.where(right, truth, (truth + 1) % 3)
    held = 0
    for _ in range(400):
        rows = torch.randint(20_000, (150,), generator=draw)
        found = Agreement.of(truth[rows], oracle[rows], 3).accuracy
        assert found is not None
        held += found[1] <= right.double().mean() <= found[2]
    # Binomial(400, 0.95) has standard deviation 4.4; three of them either way, and Wilson's
    # coverage at n = 150 lies within 1% of 95%.
    assert abs(held - 380) <= 13 + 4
    doubtful = sure.argsort()[:150]
    found = Agreement.of(truth[doubtful], oracle[doubtful], 3).accuracy
    assert found is not None
    assert found[2] < 0.65
