"""Batches and order do not matter; what cannot be measured is said, never NaN, 0 or a crash."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcollapse.metrics import (
    Estimate,
    FrechetDistance,
    FrechetInfinity,
    KernelDistance,
    MemorizedShare,
    PrecisionRecall,
    Vendi,
)
from imgcollapse.metrics.jackknife import hash_order
from imgcollapse.metrics.memorization import nearest

WIDTH = 6
PAIRED = [FrechetDistance, FrechetInfinity, KernelDistance, PrecisionRecall]
NAMES = ["fid", "fid-infinity", "kid", "prdc"]


def answers(metric):
    found = metric.compute()
    return list(found.values()) if isinstance(found, dict) else [found]


def computed(make, real, generated, batch=1000):
    metric = make()
    if isinstance(metric, Vendi):
        for part in generated.split(batch):
            metric.update(part)
        return answers(metric)
    for features, whether in ((real, True), (generated, False)):
        for part in features.split(batch):
            metric.update(part, whether)
    return answers(metric)


@pytest.mark.parametrize("make", [*PAIRED, Vendi], ids=[*NAMES, "vendi"])
def test_batches_and_order_do_not_matter(make, normal):
    real, generated = normal(0, 101, WIDTH), normal(1, 83, WIDTH, mean=0.2)
    generated = torch.cat([generated, generated[:20]])  # copies must not stick together
    whole = computed(make, real, generated)
    shuffle = torch.randperm(len(generated), generator=torch.Generator().manual_seed(0))
    for batch in (1, 7, 64):
        other = computed(make, real.flip(0), generated[shuffle], batch)
        assert other == whole


def test_the_order_is_fair():
    """Runs of rows are random subsets: copies of an image spread over all blocks."""
    features = torch.arange(50.0)[:, None].repeat(20, 1)
    first = hash_order(features)[:500]
    copies = torch.bincount(first.flatten().long(), minlength=50)
    # Hypergeometric with mean 10 and standard deviation 2.24.
    assert copies.sum() == 500
    assert (copies - 10).abs().max() < 5 * 2.24


def holds(value: Estimate):
    if value.value is None:
        assert value.note
        assert value.low is None
        assert value.high is None
        return
    assert not value.note
    assert math.isfinite(value.value)
    if value.low is not None and value.high is not None:
        assert math.isfinite(value.low)
        assert math.isfinite(value.high)
        assert value.low <= value.value <= value.high


rows = st.tuples(
    st.sampled_from([0, 1, 2, 3, 6, 7, 25, 40]),  # images
    st.sampled_from(["normal", "identical", "zero", "two", "huge", "far"]),
)


def draw(kind, n, seed):
    noise = torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed)).double()
    return {
        "normal": noise,
        "identical": torch.full((n, WIDTH), 0.7),
        "zero": torch.zeros(n, WIDTH),
        "two": torch.eye(WIDTH)[torch.arange(n) % 2],
        "huge": noise * 1e8,
        "far": noise * 1e-3 + 1e3,
    }[kind]


@pytest.mark.parametrize("make", [*PAIRED, Vendi], ids=[*NAMES, "vendi"])
@settings(max_examples=60, deadline=None)
@given(real=rows, generated=rows)
def test_every_answer_is_finite_or_says_why_not(make, real, generated):
    for value in computed(make, draw(real[1], real[0], 1), draw(generated[1], generated[0], 2)):
        holds(value)


@pytest.mark.parametrize("make", [*PAIRED, Vendi], ids=[*NAMES, "vendi"])
def test_features_that_are_not_numbers_are_not_measured(make, normal):
    generated = normal(1, 60, WIDTH)
    generated[3, 2] = math.nan
    for value in computed(make, normal(0, 60, WIDTH), generated):
        assert value == Estimate(None, note="features are not finite")


@pytest.mark.parametrize("n", [0, 1, 2])
def test_memorized_share_of_few_images(n):
    pixels = torch.zeros(n, 1, 4, 4, dtype=torch.uint8)
    training = pixels.new_zeros(3, 1, 4, 4)
    metric = MemorizedShare()
    metric.update(nearest(pixels.new_ones(200, 1, 4, 4), training), real=True)
    metric.update(nearest(pixels, training), real=False)
    value = metric.compute()
    holds(value)
    assert (value.value is None) == (n == 0)
