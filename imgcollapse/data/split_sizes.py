"""How many images of each class every set gets: arithmetic only, no image is looked at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.data.longtail import round_to_total

ORACLE, CALIBRATION, REFERENCE = 2000, 500, 5000
"""Most images that are taken where no number is set: per class, per class, in all."""


class Splits(BaseModel):
    """Sizes of the sets beside the training set; None takes what the source can spare.

    Attributes:
        oracle: images of each class that the oracle learns from.
        calibration: images of each class that its errors are measured on.
        reference: long-tailed images in all that generations are compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    oracle: int | None = Field(default=None, ge=1)
    calibration: int | None = Field(default=None, ge=1)
    reference: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class SplitSizes:
    """Images of each class, from common to rare.

    Attributes:
        train: int64[K], long-tailed.
        oracle: int64[K], balanced.
        calibration: int64[K], balanced.
        reference: int64[K], long-tailed.
        reserve: int64[R], the class of every fresh image, each drawn with the shares of `train`.
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
    """Share out the images of a source.

    Where no numbers are set, the oracle gets two fifths of what the smallest class can spare,
    calibration a quarter of what is left of it (or of the test images), and the reference set the
    rest of the test images, or a quarter of what training and reference can still share.

    Args:
        classes: K names from common to rare.
        weights: float64[K], how common each is.
        images: size of the training set; None for the largest.
        splits: sizes of the others.
        train_has: int64[K], training images the source has.
        test_has: int64[K], its test images; None where calibration and reference are held out of
            the training images.
        uniform: training set size => float64[R] in [0, 1), one for each image of the reserve.

    Raises:
        UserError: some class has too few.
    """
    for key, size in (("longtail.images", images), ("splits.reference", splits.reference)):
        if size is not None and size < len(classes):
            raise UserError(
                f"{key}: {size} images cannot hold {len(classes)} classes; "
                f"ask for at least {len(classes)}"
            )

    def reserve(n: int) -> Tensor:
        upper = (round_to_total(weights, n) / n).cumsum(0)
        return torch.searchsorted(upper, uniform(n), right=True).clamp(max=len(classes) - 1)

    def used(n: int) -> Tensor:
        return round_to_total(weights, n) + reserve(n).bincount(minlength=len(classes))

    spare = train_has if images is None else train_has - used(images)
    oracle = _balanced(splits.oracle, spare, 2 / 5, ORACLE)
    spare = spare - oracle
    held = spare if test_has is None else test_has
    calibration = _balanced(splits.calibration, held, 1 / 4, CALIBRATION)
    size = splits.reference
    if size is None:
        size = _largest(lambda n: round_to_total(weights, n), held - calibration)
        shared = images is None and test_has is None
        size = max(len(classes), min(size // 4 if shared else size, REFERENCE))
    reference = round_to_total(weights, size)
    if images is None:
        room = spare if test_has is not None else spare - calibration - reference
        images = _largest(used, room)

    chosen = SplitSizes(
        round_to_total(weights, images), oracle, calibration, reference, reserve(images)
    )
    learning = {
        "train": chosen.train,
        "reserve": chosen.reserve.bincount(minlength=len(classes)),
        "oracle": oracle,
    }
    judging = {"calibration": calibration, "reference": reference}
    if test_has is None:
        _check(classes, "", train_has, learning | judging)
    else:
        _check(classes, "training ", train_has, learning)
        _check(classes, "test ", test_has, judging)
    return chosen


def _balanced(size: int | None, room: Tensor, part: float, most: int) -> Tensor:
    if size is None:
        size = max(1, min(int(int(room.min()) * part), most))
    return torch.full_like(room, size)


def _largest(used: Callable[[int], Tensor], room: Tensor) -> int:
    """The largest set for which every class has room, or one image a class where none has."""
    sizes = range(len(room), int(room.clamp(min=0).sum()) + 1)
    fitting = bisect_left(sizes, True, key=lambda n: bool((used(n) > room).any()))
    return len(room) + max(0, fitting - 1)


_LOWER = {
    "train": "longtail.images (or longtail.counts)",
    "reserve": "the generations that take fresh images",
    "oracle": "splits.oracle",
    "calibration": "splits.calibration",
    "reference": "splits.reference",
}


def _check(classes: Sequence[str], what: str, has: Tensor, needs: Mapping[str, Tensor]) -> None:
    total = torch.stack(list(needs.values())).sum(0)
    short = (total > has).nonzero().flatten().tolist()
    if short:
        k = max(short, key=lambda k: int(total[k] - has[k]))
        uses = {name: int(counts[k]) for name, counts in needs.items() if counts[k] > 0}
        listed = ", ".join(f"{name} {count}" for name, count in uses.items())
        mend = _LOWER[max(uses, key=lambda name: uses[name])]
        raise UserError(
            f"data: class {classes[k]!r} has {int(has[k])} {what}images but {int(total[k])} are "
            f"needed ({listed}); lower {mend}, or add images of it"
        )
