"""Draws five disjoint sets of real images from one source.

`compute_split_sizes` decides how many images of each class every set gets, by arithmetic alone;
`split` draws them.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNRECOGNIZED, Images, ImageSet
from imgcollapse.core.sanitize import LONGEST_NAME, confusable, invalid_name_reason
from imgcollapse.core.seeds import Seed
from imgcollapse.data.base import ImageSubset, SourceData, case_twins
from imgcollapse.data.longtail import Exponential, LongTailProfile, round_to_total
from imgcollapse.data.passed_over import PassedOver

MAX_ORACLE, MAX_CALIBRATION, MAX_REFERENCE = 2000, 500, 5000
"""Most images taken if no number is set: per class, per class, in total."""


class Splits(BaseModel):
    """Sizes of the sets other than the training set; None takes as many as the source allows.

    Attributes:
        oracle: images of each class that the oracle is trained on.
        calibration: images of each class that its errors are measured on.
        reference: long-tailed images in total that generations are compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    oracle: int | None = Field(default=None, ge=1)
    calibration: int | None = Field(default=None, ge=1)
    reference: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class RealData:
    """The real images of a study; label 0 is the most common class, K-1 the rarest.

    Every set is in random order, so that its first rows are a random sample of it.

    Attributes:
        classes: K names from common to rare.
        shares: float64[K], the class frequencies of `train`, summing to 1.
        train: generation 0, long-tailed.
        oracle: training images of the oracle, balanced.
        calibration: images that the oracle's errors are measured on, balanced.
        reference: images that generations are compared with, long-tailed as `train`.
        reserve: fresh training images, the class of each drawn with `shares`.
        remarks: one line for each thing the user should know about the source.
        manifest: for each set int64 rows of the source's training images; for `calibration` and
            `reference` rows of its test images if it has any.
        digest: sha256 over class names and rows, labels and pixels of all sets but the reserve,
            which grows with the number of generations.
        passed_over: every file of the source that is not among its images.
    """

    classes: tuple[str, ...]
    shares: Tensor
    train: Images
    oracle: Images
    calibration: Images
    reference: Images
    reserve: ImageSet
    remarks: tuple[str, ...]
    manifest: dict[str, Tensor]
    digest: str
    passed_over: tuple[PassedOver, ...] = ()


def split(
    source: SourceData,
    longtail: LongTailProfile,
    splits: Splits,
    seed: Seed,
    fresh: int | Callable[[int], int] = 0,
) -> RealData:
    """Draw the sets of a study; only the images drawn are read from the source.

    Args:
        source: the images to draw from.
        longtail: the imbalance of the classes.
        splits: sizes of the sets other than the training set.
        seed: the same seed gives the same sets.
        fresh: number of images of the reserve, or a function of the training set size that
            returns it.

    Raises:
        UserError: a class has too few images.
    """
    if len(source.classes) < 2:
        raise UserError(
            f"data: {', '.join(source.classes)!r} is one class; add images of a second class"
        )
    for name in source.classes:
        if why := invalid_name_reason(name) or (
            "is the name for images of no class" if name == UNRECOGNIZED else None
        ):
            raise UserError(f"data: class {name[:LONGEST_NAME]!r} {why}; rename it")
    try:
        ranking = longtail.ranked(source.classes)
    except UserError as error:  # its classes are those of other data
        ordered = "order" in type(longtail).model_fields
        other = longtail.model_copy(update={"order": ()}) if ordered else Exponential()
        works = "longtail.order=[]" if ordered else "longtail.kind=exponential"
        try:
            split(source, other, splits, seed, fresh)
        except UserError as again:
            works += f" {str(again).partition('this works: ')[2]}"
        raise UserError(f"{error}; this works: {works.strip()}") from None
    classes = tuple(source.classes[label] for label in ranking)
    fresh_images = fresh if callable(fresh) else lambda n: fresh

    def uniform(n: int) -> Tensor:
        return torch.from_numpy((seed / "reserve").numpy().random(fresh_images(n)))

    train = _ClassRows(source.train, ranking, seed / "train")
    test = train if source.test is None else _ClassRows(source.test, ranking, seed / "test")
    test_has = None if source.test is None else test.has

    def sizes_of(longtail: LongTailProfile, splits: Splits) -> SplitSizes:
        weights, total = longtail.weights(len(classes)), longtail.total()
        return compute_split_sizes(classes, weights, total, splits, train.has, test_has, uniform)

    try:
        sizes = sizes_of(longtail, splits)
    except UserError as error:
        works = _settings_that_work(longtail, splits, sizes_of)
        raise UserError(f"{error}{works and f'; this works: {works}'}") from None

    # The measuring sets are taken first, so that they do not depend on the training set's size.
    rows, sets = {}, {}
    for name, class_rows, counts in (
        ("oracle", train, sizes.oracle),
        ("calibration", test, sizes.calibration),
        ("reference", test, sizes.reference),
        ("train", train, sizes.train),
    ):
        labels = torch.arange(len(classes)).repeat_interleave(counts)
        order = torch.randperm(len(labels), generator=(seed / "order" / name).torch())
        rows[name] = class_rows.take(counts)[order]
        sets[name] = Images(class_rows.images.read(rows[name]), labels[order].to(torch.int16))
    if len(shapes := {images.shape for images in sets.values()}) > 1:
        listed = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise UserError(f"data: training and test images differ in shape ({listed}); set data.size")
    rows["reserve"] = torch.empty_like(sizes.reserve)
    rows["reserve"][sizes.reserve.argsort(stable=True)] = train.take(
        sizes.reserve.bincount(minlength=len(classes))
    )
    return RealData(
        classes=classes,
        shares=sizes.train.double() / sizes.train.sum(),
        reserve=ImageSubset(source.train, rows["reserve"], sizes.reserve.to(torch.int16)),
        remarks=(*source.remarks, *confusable(source.classes), *case_twins(source.classes)),
        manifest=rows,
        passed_over=source.passed_over,
        digest=_digest(classes, rows, sets),
        **sets,
    )


def _settings_that_work(
    longtail: LongTailProfile,
    splits: Splits,
    sizes_of: Callable[[LongTailProfile, Splits], SplitSizes],
) -> str:
    """Overrides that fit the source, as few as possible; none if no settings do."""
    profiles = [("", longtail)]
    if longtail.kind == "exponential":
        whole = longtail.model_copy(update={"images": None})
        profiles.append(("longtail.images=null", whole))
    for factor in (100, 50, 20, 10, 5, 2, 1):
        words = f"longtail.kind=exponential longtail.images=null longtail.factor={factor}"
        profiles.append((words, Exponential(factor=factor)))
    for words, profile in profiles:
        for more, sizes in (("", splits), ("splits={}", Splits())):
            with suppress(UserError):
                sizes_of(profile, sizes)
                return " ".join(filter(None, (more, words)))
    return ""


class _ClassRows:
    """The rows of an image set by class, in random order, taken without replacement."""

    def __init__(self, images: ImageSet, ranking: Sequence[int], seed: Seed) -> None:
        self.images = images
        rank = torch.tensor(ranking).argsort()[images.labels.long()]
        shuffled = torch.randperm(len(rank), generator=seed.torch())
        self.rows = shuffled[rank[shuffled].argsort(stable=True)]
        self.has = rank.bincount(minlength=len(ranking))
        self.next = self.has.cumsum(0) - self.has

    def take(self, counts: Tensor) -> Tensor:
        """Return the next `counts` (int64[K]) rows of each class: int64[N], by class."""
        starts, self.next = self.next, self.next + counts
        ends = self.next.tolist()
        return torch.cat([self.rows[a:b] for a, b in zip(starts.tolist(), ends, strict=True)])


def _digest(classes: Sequence[str], rows: Mapping[str, Tensor], sets: Mapping[str, Images]) -> str:
    digest = hashlib.sha256(json.dumps(classes).encode())
    for name in sorted(sets):
        digest.update(rows[name].numpy().data)
        digest.update(json.dumps([name, *sets[name].pixels.shape]).encode())
        digest.update(sets[name].labels.contiguous().numpy().data)
        digest.update(sets[name].pixels.contiguous().numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class SplitSizes:
    """Number of images of each class in each set; classes from common to rare.

    Attributes:
        train: int64[K], long-tailed.
        oracle: int64[K], balanced.
        calibration: int64[K], balanced.
        reference: int64[K], long-tailed.
        reserve: int64[R], the class of every fresh image, drawn with the frequencies of `train`.
    """

    train: Tensor
    oracle: Tensor
    calibration: Tensor
    reference: Tensor
    reserve: Tensor


def compute_split_sizes(
    classes: Sequence[str],
    weights: Tensor,
    images: int | None,
    splits: Splits,
    train_has: Tensor,
    test_has: Tensor | None,
    uniform: Callable[[int], Tensor],
) -> SplitSizes:
    """Divide the images of a source among the sets.

    Without a given size, the oracle gets two fifths of the smallest class, calibration a quarter of
    what is left of it (or of the test images), and the reference set the rest of the test images,
    or a quarter of what is left for training and reference together.

    Args:
        classes: K names from common to rare.
        weights: float64[K], class frequencies up to a factor.
        images: size of the training set; None for the largest possible.
        splits: sizes of the other sets.
        train_has: int64[K], training images of the source.
        test_has: int64[K], its test images; None if calibration and reference are held out of the
            training images.
        uniform: training set size => float64[R] in [0, 1), one number per image of the reserve.

    Raises:
        UserError: a class has too few images.
    """
    for key, size in (("longtail.images", images), ("splits.reference", splits.reference)):
        if size is not None and size < len(classes):
            raise UserError(
                f"{key}: {size} images are too few for {len(classes)} classes; "
                f"set it to at least {len(classes)}"
            )

    def reserve(n: int) -> Tensor:
        upper = (round_to_total(weights, n) / n).cumsum(0)
        return torch.searchsorted(upper, uniform(n), right=True).clamp(max=len(classes) - 1)

    def used(n: int) -> Tensor:
        return round_to_total(weights, n) + reserve(n).bincount(minlength=len(classes))

    remaining = train_has if images is None else train_has - used(images)
    oracle = _balanced(splits.oracle, remaining, 2 / 5, MAX_ORACLE)
    remaining = remaining - oracle
    held_out = remaining if test_has is None else test_has
    calibration = _balanced(splits.calibration, held_out, 1 / 4, MAX_CALIBRATION)
    size = splits.reference
    if size is None:
        size = _largest(lambda n: round_to_total(weights, n), held_out - calibration)
        shared = images is None and test_has is None
        size = max(len(classes), min(size // 4 if shared else size, MAX_REFERENCE))
    reference = round_to_total(weights, size)
    if images is None:
        available = remaining if test_has is not None else remaining - calibration - reference
        images = _largest(used, available)

    sizes = SplitSizes(
        round_to_total(weights, images), oracle, calibration, reference, reserve(images)
    )
    from_train = {
        "train": sizes.train,
        "reserve": sizes.reserve.bincount(minlength=len(classes)),
        "oracle": oracle,
    }
    from_test = {"calibration": calibration, "reference": reference}
    if test_has is None:
        _check(classes, "", train_has, from_train | from_test)
    else:
        _check(classes, "training ", train_has, from_train)
        _check(classes, "test ", test_has, from_test)
    return sizes


def _balanced(size: int | None, available: Tensor, share: float, most: int) -> Tensor:
    if size is None:
        size = max(1, min(int(int(available.min()) * share), most))
    return torch.full_like(available, size)


def _largest(used: Callable[[int], Tensor], available: Tensor) -> int:
    """The largest set size that every class has images for, at least one image per class."""
    sizes = range(len(available), int(available.clamp(min=0).sum()) + 1)
    fitting = bisect_left(sizes, True, key=lambda n: bool((used(n) > available).any()))
    return len(available) + max(0, fitting - 1)


_SETTINGS = {
    "train": "longtail.images (or longtail.counts)",
    "reserve": "the generations that take fresh images",
    "oracle": "splits.oracle",
    "calibration": "splits.calibration",
    "reference": "splits.reference",
}


def _check(classes: Sequence[str], kind: str, has: Tensor, needs: Mapping[str, Tensor]) -> None:
    total = torch.stack(list(needs.values())).sum(0)
    short = (total > has).nonzero().flatten().tolist()
    if short:
        k = max(short, key=lambda k: int(total[k] - has[k]))
        uses = {name: int(counts[k]) for name, counts in needs.items() if counts[k] > 0}
        listed = ", ".join(f"{name} {count}" for name, count in uses.items())
        largest = _SETTINGS[max(uses, key=lambda name: uses[name])]
        raise UserError(
            f"data: class {classes[k]!r} has {int(has[k])} {kind}images but {int(total[k])} are "
            f"needed ({listed}); lower {largest}, or add images of this class"
        )
