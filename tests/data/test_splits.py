from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from imgcollapse.config.loader import with_overrides
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.data import Digits, Explicit, Exponential, Splits, Step, split
from imgcollapse.data.base import InMemoryImages, SourceData

SEED = Seed(("test",))
SETS = ("train", "oracle", "calibration", "reference")


@dataclass(frozen=True)
class Numbered:
    """A virtual stock whose pixels spell the row number; remembers how much was read."""

    labels: Tensor
    reads: list[int]

    def read(self, rows: Tensor) -> Tensor:
        self.reads.append(len(rows))
        return torch.stack([rows >> 16 & 255, rows >> 8 & 255, rows & 255], 1).byte()[
            :, :, None, None
        ]


def numbered(*counts: int) -> Numbered:
    """`counts[k]` images of class k, in mixed order."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return Numbered(labels[order].to(torch.int16), [])


def pool(train: Numbered, test: Numbered | None = None) -> SourceData:
    return SourceData(tuple("abcdefghij"[: int(train.labels.max()) + 1]), train, test)


def rows_of(pixels: Tensor) -> Tensor:
    r, g, b = pixels.long().flatten(1).unbind(1)
    return r << 16 | g << 8 | b


def counts(labels: Tensor) -> list[int]:
    return labels.long().bincount().tolist()


@pytest.mark.parametrize("test", [None, numbered(100, 90, 80)])
@pytest.mark.parametrize("images", [None, 200])
def test_sets_are_disjoint_and_hold_what_the_manifest_says(test, images):
    source = pool(numbered(500, 480, 460), test)
    data = split(source, Exponential(factor=10, images=images), Splits(), SEED, fresh=150)
    for name in SETS:
        images = getattr(data, name)
        home = test if test and name in ("calibration", "reference") else source.train
        assert torch.equal(rows_of(images.pixels), data.manifest[name])
        assert torch.equal(images.labels, home.labels[data.manifest[name]])
    assert torch.equal(rows_of(data.reserve.read(torch.arange(150))), data.manifest["reserve"])
    learning = ["train", "oracle", "reserve"] + ([] if test else ["calibration", "reference"])
    used = torch.cat([data.manifest[name] for name in learning])
    assert len(used.unique()) == len(used)
    judging = torch.cat([data.manifest[name] for name in ("calibration", "reference")])
    assert len(judging.unique()) == len(judging)


def test_sizes_that_are_set_are_kept():
    splits = Splits(oracle=50, calibration=7, reference=40)
    data = split(
        pool(numbered(500, 500, 500), numbered(50, 50, 50)),
        Exponential(factor=4, images=70),
        splits,
        SEED,
        fresh=11,
    )
    assert counts(data.train.labels) == [40, 20, 10]
    assert data.shares.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert counts(data.oracle.labels) == [50, 50, 50]
    assert counts(data.calibration.labels) == [7, 7, 7]
    assert counts(data.reference.labels) == [23, 11, 6]
    assert len(data.reserve.labels) == 11


def test_label_zero_is_the_most_common_class_and_the_names_follow():
    source = pool(numbered(300, 300, 300))
    data = split(source, Explicit(counts={"a": 2, "b": 40, "c": 10}), Splits(), SEED)
    assert data.classes == ("b", "c", "a")
    assert counts(data.train.labels) == [40, 10, 2]
    original = source.train.labels[data.manifest["train"]]
    assert torch.equal(original, torch.tensor([1, 2, 0]).short()[data.train.labels.long()])


def test_without_a_size_the_common_class_takes_all_that_is_left():
    data = split(
        pool(numbered(500, 500, 500), numbered(50, 50, 50)), Step(factor=5), Splits(), SEED
    )
    assert counts(data.train.labels)[0] + counts(data.oracle.labels)[0] == 500


def test_the_same_seed_gives_the_same_sets_and_another_others():
    def draw(seed: Seed):
        return split(pool(numbered(200, 200)), Exponential(factor=3), Splits(), seed, fresh=20)

    again, same, other = draw(SEED), draw(SEED), draw(SEED / 1)
    assert again.digest == same.digest != other.digest
    assert all(torch.equal(again.manifest[name], same.manifest[name]) for name in again.manifest)
    assert len(again.digest) == 64


def test_the_digest_changes_with_a_single_pixel():
    stock = Digits().load().train
    pixels = stock.read(torch.arange(len(stock.labels))).clone()
    classes = tuple("0123456789")
    before = split(
        SourceData(classes, InMemoryImages(pixels, stock.labels)), Exponential(), Splits(), SEED
    )
    changed = pixels.clone()
    changed[before.manifest["train"][0], 0, 0, 0] ^= 1
    after = split(
        SourceData(classes, InMemoryImages(changed, stock.labels)), Exponential(), Splits(), SEED
    )
    assert before.digest != after.digest


def test_what_judges_does_not_depend_on_the_size_of_the_training_set():
    splits = Splits(oracle=30, calibration=10, reference=20)
    source = pool(numbered(400, 400))
    small, large = (
        split(source, Exponential(factor=2, images=images), splits, SEED) for images in (50, 300)
    )
    for name in ("oracle", "calibration"):
        assert torch.equal(small.manifest[name], large.manifest[name])


def test_every_prefix_of_the_reserve_has_the_long_tailed_marginal():
    source = pool(numbered(60_000, 60_000, 60_000))
    longtail = Exponential(factor=9, images=1300)
    data = split(source, longtail, Splits(oracle=5), SEED, fresh=40_000)
    assert data.shares.tolist() == pytest.approx([9 / 13, 3 / 13, 1 / 13])
    for prefix in (1_000, 10_000, 40_000):
        found = data.reserve.labels[:prefix].long().bincount(minlength=3) / prefix
        # Six seeded comparisons at 4 standard errors of a binomial share.
        error = (data.shares * (1 - data.shares) / prefix).sqrt()
        assert ((found - data.shares).abs() < 4 * error).all()


def test_the_reserve_may_be_a_rule_of_the_training_set_s_size():
    source = pool(numbered(1000, 1000))
    data = split(source, Exponential(factor=2), Splits(oracle=10), SEED, fresh=lambda n: 3 * n)
    assert len(data.reserve.labels) == 3 * len(data.train)
    taken = counts(data.train.labels)[0] + counts(data.reserve.labels)[0]
    # One more training image would need about three more of the reserve.
    spare = 1000 - 10 - len(data.calibration) // 2 - counts(data.reference.labels)[0] - taken
    assert 0 <= spare <= 4 + 3 * math.sqrt(3 * len(data.train) / 4)


def test_a_huge_virtual_stock_is_read_only_where_it_is_used():
    labels = (torch.arange(1_000_000) % 8).short()
    train, test = Numbered(labels, []), Numbered(labels, [])
    splits = Splits(oracle=10, calibration=5, reference=40)
    data = split(pool(train, test), Exponential(images=100), splits, SEED, fresh=100_000)
    assert sum(train.reads) == 100 + 80
    assert sum(test.reads) == 40 + 40
    assert data.manifest["reserve"].unique().numel() == 100_000


@pytest.mark.parametrize(
    ("longtail", "splits", "fresh", "message"),
    [
        (Exponential(images=400), Splits(), 0, r"'a' has 100 images but \d+ .* longtail\.images"),
        (
            Exponential(images=2),
            Splits(),
            0,
            r"longtail\.images: 2 images are too few for 3",
        ),
        (Exponential(), Splits(reference=2), 0, r"splits\.reference: 2 .* at least 3"),
        (Exponential(), Splits(oracle=500), 0, r"but 503 are needed .*oracle 500.* splits\.oracle"),
        (Exponential(), Splits(calibration=98), 0, r"lower splits\.calibration"),
        (Exponential(), Splits(reference=200), 0, r"lower splits\.reference"),
        (Exponential(images=9), Splits(), 900, r"reserve \d+.* lower the generations"),
        (Explicit(counts={"a": 1, "b": 1, "c": 101}), Splits(), 0, "'c' has 100 .*train 101"),
    ],
)
def test_too_few_images_are_refused_with_class_numbers_and_mend(longtail, splits, fresh, message):
    with pytest.raises(UserError, match=message) as refused:
        split(pool(numbered(100, 100, 100)), longtail, splits, SEED, fresh)
    assert "\n" not in str(refused.value)


def test_a_class_without_test_images_is_refused():
    with pytest.raises(UserError, match="'b' has 0 test images but 2 are needed"):
        split(pool(numbered(50, 50), numbered(20, 0)), Exponential(), Splits(), SEED)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="'a' is one class"):
        split(pool(numbered(50)), Exponential(), Splits(), SEED)


def test_stocks_of_different_shape_are_refused():
    labels = torch.arange(2).repeat(50).short()
    stocks = [InMemoryImages(torch.zeros(100, 1, side, side).byte(), labels) for side in (4, 5)]
    with pytest.raises(UserError, match=r"1x4x4 and 1x5x5.*set data\.size"):
        split(SourceData(("a", "b"), *stocks), Exponential(factor=2), Splits(), SEED)


@pytest.mark.parametrize(
    ("longtail", "splits"),
    [
        (Exponential(images=5000), Splits(oracle=400, calibration=500, reference=2000)),
        (Exponential(factor=2, images=100), Splits(oracle=50)),
        (Explicit(counts={"a": 500, "b": 9, "c": 1}), Splits()),
        (Explicit(counts={"pug": 500, "corgi": 9}), Splits(oracle=400)),
        (Exponential(order=("pug", "corgi")), Splits()),
        (Exponential(order=("pug", "corgi"), images=500), Splits(oracle=400)),
    ],
)
def test_a_refusal_prints_settings_that_work(longtail, splits):
    source = pool(numbered(60, 60, 60))
    with pytest.raises(UserError, match="this works: ") as refused:
        split(source, longtail, splits, SEED)
    line = str(refused.value).partition("this works: ")[2].split()
    base = {"data": "digits", "generator": "resample", "splits": splits.model_dump()}
    base["longtail"] = longtail.model_dump()
    study = with_overrides(base, line, "study")
    assert len(split(source, study.longtail, study.splits, SEED).train) > 3


def test_classes_that_differ_in_case_alone_are_told():
    images = numbered(60, 60)
    source = SourceData(("Cat", "cat"), images)
    remarks = split(source, Exponential(factor=2), Splits(), SEED).remarks
    assert remarks == ("classes 'Cat' and 'cat' differ in case alone",)
