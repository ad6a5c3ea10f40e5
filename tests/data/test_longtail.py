from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from imgcollapse.core.errors import UserError
from imgcollapse.data import Explicit, Exponential, LongTail, Step, Zipf
from imgcollapse.data.longtail import round_to_total

falling = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=200).map(
    lambda weights: torch.tensor(sorted(weights, reverse=True), dtype=torch.float64)
)


@given(falling, st.integers(0, 1_000_000))
def test_apportioned_counts_sum_exactly_fall_and_leave_nobody_out(weights, more):
    images = len(weights) + more
    counts = round_to_total(weights, images)
    assert counts.sum() == images
    assert counts.min() >= 1
    assert (counts.diff() <= 0).all()


@given(falling, st.integers(0, 1_000_000))
def test_apportioned_counts_are_within_one_of_their_quota(weights, more):
    images = len(weights) + more
    counts = round_to_total(weights, images)
    quotas = weights / weights.sum() * images
    if (quotas >= 1).all():
        assert ((counts - quotas).abs() < 1 + 1e-6).all()


def test_fewer_images_than_classes_cannot_be_apportioned():
    with pytest.raises(ValueError, match="2 images"):
        round_to_total(torch.ones(3), 2)


@given(st.integers(2, 300), st.floats(1, 1000))
def test_exponential_and_step_have_the_factor_between_first_and_last(classes, factor):
    for profile in (Exponential(factor=factor), Step(factor=factor)):
        weights = profile.weights(classes)
        assert weights.shape == (classes,)
        assert weights.dtype == torch.float64
        assert weights[0] / weights[-1] == pytest.approx(factor)
        assert (weights.diff() <= 0).all()


def test_exponential_ratio_of_neighbours_is_constant():
    weights = Exponential(factor=100).weights(10)
    assert torch.allclose(weights[1:] / weights[:-1], torch.tensor(100 ** (-1 / 9)).double())


def test_cifar10_lt_has_the_published_counts():
    # Cui et al. 2019: 5000 * 100^(-k/9), rounded down, 12,406 images in all.
    published = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    counts = round_to_total(Exponential(factor=100).weights(10), sum(published))
    assert (counts - torch.tensor(published)).abs().max() <= 1


def test_step_has_two_levels():
    assert Step(factor=4, rare=1).weights(4).tolist() == [1, 1, 1, 0.25]
    assert Step(factor=4).weights(5).tolist() == [1, 1, 1, 0.25, 0.25]
    with pytest.raises(UserError, match=r"longtail\.rare: 3 of 3"):
        Step(rare=3).weights(3)


def test_zipf_is_the_reciprocal_rank():
    assert Zipf(exponent=1).weights(4).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert Zipf(exponent=0).weights(4).tolist() == [1, 1, 1, 1]


def test_named_classes_come_first_and_the_others_keep_the_source_s_order():
    assert Zipf(order=("d", "b")).ranked("abcde") == [3, 1, 0, 2, 4]
    assert Zipf().ranked("abc") == [0, 1, 2]


def test_explicit_counts_are_kept_and_rank_the_classes():
    explicit = Explicit(counts={"a": 5, "b": 9, "c": 5})
    assert explicit.ranked("abc") == [1, 0, 2]
    assert explicit.total() == 19
    assert round_to_total(explicit.weights(3), 19).tolist() == [9, 5, 5]


@pytest.mark.parametrize(
    ("longtail", "message"),
    [
        (Zipf(order=("pgu",)), r"longtail\.order: .* 'pgu'; did you mean pug"),
        (Zipf(order=("pug", "pug")), "named twice"),
        (Explicit(counts={"pug": 3, "beagel": 1}), r"longtail\.counts: .* did you mean beagle"),
        (Explicit(counts={"pug": 3}), "class 'beagle' has no images"),
        (Explicit(counts={"pug": 3, "beagle": 0}), "class 'beagle' has no images"),
    ],
)
def test_class_names_that_do_not_fit_are_refused_in_one_line(longtail, message):
    with pytest.raises(UserError, match=message) as refused:
        longtail.ranked(("beagle", "pug"))
    assert "\n" not in str(refused.value)


class Study(BaseModel):
    longtail: LongTail


def test_the_union_is_chosen_by_kind_and_takes_numbers_for_names():
    assert Study.model_validate({"longtail": "exponential"}).longtail == Exponential()
    study = Study.model_validate({"longtail": {"kind": "explicit", "counts": {0: 3, 1: 2}}})
    assert study.longtail == Explicit(counts={"0": 3, "1": 2})
    assert Study.model_validate({"longtail": {"kind": "zipf", "order": [1, 0]}}).longtail == Zipf(
        order=("1", "0")
    )
    with pytest.raises(ValidationError, match="one of exponential, step, zipf, explicit"):
        Study.model_validate({"longtail": {"kind": "linear"}})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Study.model_validate({"longtail": {"kind": "zipf", "images": 0}})
