"""One source, five disjoint sets of real images: who may see which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNRECOGNIZED, Images, ImageSet
from imgcollapse.core.sanitize import LONGEST_NAME, confusable, invalid_name_reason
from imgcollapse.core.seeds import Seed
from imgcollapse.data.base import SourceData
from imgcollapse.data.image_sets import ImageSubset
from imgcollapse.data.longtail import LongTailProfile
from imgcollapse.data.split_sizes import Splits, compute_split_sizes


@dataclass(frozen=True)
class RealData:
    """The real images of a study; label 0 is the most common class, K-1 the rarest.

    Every set is in random order, so that its first rows are a fair sample of it.

    Attributes:
        classes: K names from common to rare.
        shares: float64[K], the class frequencies of `train`, which sum to 1.
        train: generation 0, long-tailed.
        oracle: what the oracle learns from, balanced.
        calibration: what its errors are measured on, balanced.
        reference: what generations are compared with, long-tailed as `train`.
        reserve: fresh training images, the class of each drawn with `shares`.
        remarks: what the user should know about the source.
        manifest: for each set int64 rows of the source's training images; of its test images for
            `calibration` and `reference` where it has any.
        digest: sha256 over class names and rows, labels and pixels of all but the reserve, which
            grows with the number of generations.
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


def split(
    pool: SourceData,
    longtail: LongTailProfile,
    splits: Splits,
    seed: Seed,
    fresh: int | Callable[[int], int] = 0,
) -> RealData:
    """Draw disjoint sets of images; only what they hold is read from the source.

    Args:
        pool: the source.
        longtail: the classes' imbalance.
        splits: sizes of the other sets.
        seed: the same seed gives the same sets.
        fresh: images of the reserve, or a rule: training set size => images of the reserve.

    Raises:
        UserError: a class has too few images.
    """
    if len(pool.classes) < 2:
        raise UserError(f"data: {', '.join(pool.classes)!r} is one class; at least two are needed")
    for name in pool.classes:
        if why := invalid_name_reason(name) or (
            "stands for what is none of them" if name == UNRECOGNIZED else None
        ):
            raise UserError(f"data: class {name[:LONGEST_NAME]!r} {why}; rename it")
    ranking = longtail.ranked(pool.classes)
    classes = tuple(pool.classes[label] for label in ranking)
    rule = fresh if callable(fresh) else lambda n: fresh

    def uniform(n: int) -> Tensor:
        return torch.from_numpy((seed / "reserve").numpy().random(rule(n)))

    train = _Piles(pool.train, ranking, seed / "train")
    test = train if pool.test is None else _Piles(pool.test, ranking, seed / "test")
    test_has = None if pool.test is None else test.has
    weights = longtail.weights(len(classes))
    sizes = compute_split_sizes(
        classes, weights, longtail.total(), splits, train.has, test_has, uniform
    )

    # The sets that judge are dealt first, so that they do not change with the training set's size.
    rows, sets = {}, {}
    for name, piles, counts in (
        ("oracle", train, sizes.oracle),
        ("calibration", test, sizes.calibration),
        ("reference", test, sizes.reference),
        ("train", train, sizes.train),
    ):
        labels = torch.arange(len(classes)).repeat_interleave(counts)
        order = torch.randperm(len(labels), generator=(seed / "order" / name).torch())
        rows[name] = piles.deal(counts)[order]
        sets[name] = Images(piles.stock.read(rows[name]), labels[order].to(torch.int16))
    if len(shapes := {images.shape for images in sets.values()}) > 1:
        found = " and ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise UserError(f"data: training and test images differ in shape ({found}); set data.size")
    rows["reserve"] = torch.empty_like(sizes.reserve)
    rows["reserve"][sizes.reserve.argsort(stable=True)] = train.deal(
        sizes.reserve.bincount(minlength=len(classes))
    )
    return RealData(
        classes=classes,
        shares=sizes.train.double() / sizes.train.sum(),
        reserve=ImageSubset(pool.train, rows["reserve"], sizes.reserve.to(torch.int16)),
        remarks=(*pool.remarks, *confusable(pool.classes)),
        manifest=rows,
        digest=_digest(classes, rows, sets),
        **sets,
    )


class _Piles:
    """The rows of a stock by class, each pile shuffled and dealt from the top."""

    def __init__(self, stock: ImageSet, ranking: Sequence[int], seed: Seed) -> None:
        self.stock = stock
        rank = torch.tensor(ranking).argsort()[stock.labels.long()]
        shuffled = torch.randperm(len(rank), generator=seed.torch())
        self.rows = shuffled[rank[shuffled].argsort(stable=True)]
        self.has = rank.bincount(minlength=len(ranking))
        self.top = self.has.cumsum(0) - self.has

    def deal(self, counts: Tensor) -> Tensor:
        """The next `counts` (int64[K]) rows of each class: int64[sum of counts], by class."""
        starts, self.top = self.top, self.top + counts
        ends = self.top.tolist()
        return torch.cat([self.rows[a:b] for a, b in zip(starts.tolist(), ends, strict=True)])


def _digest(classes: Sequence[str], rows: Mapping[str, Tensor], sets: Mapping[str, Images]) -> str:
    digest = hashlib.sha256(json.dumps(classes).encode())
    for name in sorted(sets):
        digest.update(rows[name].numpy().data)
        digest.update(json.dumps([name, *sets[name].pixels.shape]).encode())
        digest.update(sets[name].labels.contiguous().numpy().data)
        digest.update(sets[name].pixels.contiguous().numpy().data)
    return digest.hexdigest()
