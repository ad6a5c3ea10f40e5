"""The keyed mark: what it promises of any image, size and key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom, kstest

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.watermark.spread_transform import (
    CARRIERS,
    SpreadTransformMark,
    tail_probability,
)
from imgcollapse.data import Digits, PaperDogs


def drawn(source, n):
    return source.load().train.read(torch.arange(n))


DIGITS = drawn(Digits(), 200)
DOGS = drawn(PaperDogs(size=32), 100)
GRAY = DOGS.float().mean(1, keepdim=True).round().byte()
TALL = DOGS[:, :, :, 4:28]
SETS = {"digits": DIGITS, "dogs": DOGS, "gray": GRAY, "tall": TALL}


def mark(pixels, key=0, psnr=35.0, search=2):
    return SpreadTransformMark.of(key, tuple(pixels.shape[1:]), psnr, search)


def p_values(mark, pixels):
    """P-values of "unmarked": float64[N]; the best of V views has 1 - (1 - p)^V (Šidák 1967)."""
    views = list(mark._views())
    p = tail_probability(mark._largest(pixels, views)[0], len(mark.carriers))
    return 1 - (1 - p) ** len(views)


def psnr(one, other):
    error = (one.double() - other.double()).square().mean((1, 2, 3))
    return 10 * torch.log10(255**2 / error)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("least", [35.0, 42.0])
def test_no_image_falls_below_the_psnr_and_all_are_bytes_of_one_shape(name, least):
    pixels = SETS[name]
    marked = mark(pixels, psnr=least).embed(pixels)
    assert (marked.dtype, marked.shape) == (torch.uint8, pixels.shape)
    assert psnr(marked, pixels).min() >= least


@pytest.mark.parametrize("name", SETS)
def test_marked_images_are_found_and_with_another_key_they_are_not(name):
    pixels = SETS[name]
    marked = mark(pixels).embed(pixels)
    assert (p_values(mark(pixels), marked) <= 0.01).mean() >= 0.95
    found = (p_values(mark(pixels, key=1), marked) <= 0.01).sum()
    assert found <= binom.ppf(0.999, len(pixels), 0.01)


def test_the_mark_survives_shifts_within_the_search_and_none_beyond():
    marked = mark(DOGS).embed(DOGS)
    near, far = (marked.roll((d, -d), (2, 3)) for d in (2, 3))
    assert (p_values(mark(DOGS), near) <= 0.01).mean() >= 0.95
    assert (p_values(mark(DOGS), far) <= 0.01).mean() < 0.1


@pytest.mark.parametrize("image", [DIGITS[:1], DOGS[:1, :, ::2, ::2]], ids=["digit", "dog"])
def test_over_keys_the_p_value_of_any_unmarked_image_is_uniform(image):
    p = np.concatenate([p_values(mark(image, key, search=0), image) for key in range(400)])
    assert kstest(p, "uniform").pvalue > 1e-3


def test_over_keys_the_best_of_many_looks_is_found_as_often_as_asked():
    image = DOGS[:1, :, ::2, ::2]
    p = np.concatenate([p_values(mark(image, key), image) for key in range(400)])
    low, high = binom.interval(0.999, len(p), 0.05)
    assert low <= (p <= 0.05).sum() <= high


def test_a_flat_image_scores_nothing_under_any_key():
    flat = torch.full((1, 1, 16, 16), 90, dtype=torch.uint8)
    for key in range(20):
        # Rounding of a sum of 32 cosines of phases below 2 pi.
        assert abs(mark(flat, key).statistic(flat)[0, 0]) < 1e-12


def test_the_statistic_has_mean_0_and_variance_1_and_is_largest_on_the_lattice():
    z = np.concatenate([mark(DOGS, key, search=0).statistic(DOGS[:20])[0] for key in range(40)])
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    # A variance of n draws of kurtosis near 3 has standard error sqrt(2 / n).
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / len(z))
    marked = mark(DOGS, psnr=30).statistic(mark(DOGS, psnr=30).embed(DOGS))
    # Rounding to bytes moves a projection by 0.29, 1/300 of a step.
    assert 0.99 * np.sqrt(2 * CARRIERS) < np.median(marked) <= np.sqrt(2 * CARRIERS)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 64, 64), (3, 32, 24)])
def test_carriers_are_orthonormal_and_leave_the_margin_alone(shape):
    made = SpreadTransformMark.of("key", shape, 35.0, 2)
    flat = made.carriers.reshape(len(made.carriers), -1)
    # Sums of up to 4,096 products of float64.
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-12)
    edge = made.margin
    assert edge == min(2, min(shape[1:]) // 8)
    assert not made.carriers[:, :edge].any()
    assert not made.carriers[:, :, -edge:].any()
    # No carrier knows an image's brightness: none holds the lowest frequency.
    np.testing.assert_allclose(flat.sum(axis=1), 0, atol=1e-12)


def test_colours_do_not_change():
    room = (DOGS // 2 + 60).clamp(60, 190)
    change = mark(room).embed(room).int() - room.int()
    # All channels move alike, where nothing is clipped, and are rounded alike.
    assert (change == change[:, :1]).all()


def test_an_image_is_marked_and_judged_alike_alone_and_among_others():
    marked = mark(DOGS).embed(DOGS)
    alone = mark(DOGS).embed(DOGS[7:8])
    # Sums in another order may fall to the other side of a half.
    assert (marked[7:8].int() - alone.int()).abs().max() <= 1
    np.testing.assert_allclose(
        mark(DOGS).statistic(DOGS)[0, 7:8], mark(DOGS).statistic(DOGS[7:8])[0], atol=1e-9
    )


def test_no_images_are_no_trouble_and_too_small_ones_are_refused():
    none = DIGITS[:0]
    assert len(mark(none).embed(none)) == len(p_values(mark(none), none)) == 0
    assert len(mark(none).statistic(none)[0]) == 0
    assert SpreadTransformMark.of(0, (1, 4, 4), 35.0, 2).carriers.any()
    with pytest.raises(UserError, match=r"^curation: images of 2x4 pixels are too small [^\n]+$"):
        SpreadTransformMark.of(0, (1, 2, 4), 35.0, 2)


def test_a_key_names_its_mark():
    one, same, other = (SpreadTransformMark.of(key, (1, 16, 16), 35.0, 2) for key in (3, 3, "3x"))
    assert (one.carriers == same.carriers).all()
    assert (one.dither == same.dither).all()
    assert (one.dither != other.dither).any()


def test_what_is_found_is_what_has_a_small_p_value():
    half = torch.cat([mark(DOGS).embed(DOGS[:40]), DOGS[40:]])
    for fpr in (0.01, 0.2):
        # The law is inverted to 2e-12 of a sum of cosines: no p-value lies that near to the rate.
        assert (mark(DOGS).detect(half, fpr)[0] == (p_values(mark(DOGS), half) <= fpr)).all()


def test_other_keys_judge_as_they_would_by_themselves():
    made = mark(DOGS)
    other = replace(made, dither=made.unused_dithers(3, Seed(("others",)))[1])
    together = made.statistic(DOGS, made.unused_dithers(3, Seed(("others",))))
    # Sums of 32 cosines.
    np.testing.assert_allclose(together[1], other.statistic(DOGS)[0], atol=1e-10)
