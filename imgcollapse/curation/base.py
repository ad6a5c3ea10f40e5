"""Base class of filters, which decide which images of a generation later models may train on.

Most filters select: samples that are not kept are as if never drawn, and a regime takes the next
ones instead. A filter with `leaves_gaps` removes: a removed image is missing from every training
set it would have been in.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator
from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.errors import UserError
from imgcollapse.core.estimate import Estimate
from imgcollapse.core.images import Images, described
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed


@dataclass(frozen=True)
class FilterInput:
    """Images of one generation, with the oracle's predictions."""

    generation: int  # 0 is real
    rows: Tensor  # int32[N], the row of each image in its generation
    classes: Sequence[str]  # K names; a label is an index into them
    images: Images  # their labels are those they would be trained with
    counted: Tensor  # int16[N], the classes predicted by the oracle, or `UNKNOWN`
    probabilities: Tensor  # float32[N, K], the oracle's, for equally common classes
    features: Tensor  # float32[N, D], the oracle's
    atypicality: Tensor  # float64[N], larger for images less like real ones
    held_out: Tensor  # float64[M], atypicality of real images the oracle was not trained on
    folder: Path  # the lineage's, where people's picks are stored

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Tensor) -> FilterInput:
        """Return the images at the positions int64[M]."""
        per_image = "rows", "images", "counted", "probabilities", "features", "atypicality"
        return replace(self, **{name: getattr(self, name)[chosen] for name in per_image})

    def select(self, chosen: Tensor) -> Selection:
        """Keep the images at the positions int64[M], with their labels."""
        return Selection(self.rows[chosen], self.images.labels[chosen])


class FilterMetric(NamedTuple):
    """A metric that a filter computes, as the report's table shows it."""

    name: str  # in metrics.csv
    title: str  # of its column
    format: str  # "percent", or a format specification of Python


class Filter(Component, ABC):
    """Decides which images of a generation later models may train on."""

    filters_real: ClassVar[bool] = False  # whether it is applied to the real generation 0, too
    leaves_gaps: ClassVar[bool] = False  # whether it removes images without selecting others
    shown_metrics: ClassVar[tuple[FilterMetric, ...]] = ()  # those of its `metrics` in the report

    def check(self, classes: Sequence[str]) -> None:
        """Raise a UserError if its settings do not fit a study's classes, before any training."""

    @abstractmethod
    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Return the images that are kept; no `REMOVED` among them.

        Raises:
            UserError: these images cannot be filtered; the message says why.
        """

    def checked_keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """What `keep` returns, if it is images it was given, each under a class."""
        kept, found = self.keep(inputs, seed), ""
        if not isinstance(kept, Selection):
            found = described(kept)
        elif not _match(kept.rows, kept.labels):
            found = f"a Selection of {described(kept.rows)} and {described(kept.labels)}"
        elif others := set(kept.rows.tolist()).difference(inputs.rows.tolist()):
            found = f"row {min(others)}, which it was not given"
        elif others := set(kept.labels.tolist()).difference(range(-1, len(inputs.classes))):
            found = f"the label {min(others)}"
        if found:
            raise UserError(
                f"filter {self.kind}: keep returned {found}; let it return a Selection of int32[M] "
                f"`inputs.rows`, with int16[M] labels from -1 to {len(inputs.classes) - 1}"
            )
        return kept

    def checked_mark(self, samples: Images, seed: Seed) -> Images:
        """What `mark` returns, if it is as many images of the same shape and labels."""
        marked = self.mark(samples, seed)
        found = described(marked)
        if isinstance(marked, Images):
            found, same = described(marked.pixels), torch.equal(marked.labels, samples.labels)
            if same and found == described(samples.pixels):
                return marked
            found += "" if same else " with other labels"
        wanted = described(samples.pixels)
        raise UserError(
            f"filter {self.kind}: mark returned {found}; let it return Images of {wanted} with the "
            "labels it was given"
        )

    def mark(self, samples: Images, seed: Seed) -> Images:
        """Return the samples with a watermark, before they are stored or measured."""
        return samples

    def pending_reason(self, generation: int, folder: Path) -> str | None:
        """Return a line saying what must happen before a generation can be filtered, or None."""
        return None

    def dependencies(self, generation: int, folder: Path) -> Mapping[str, str]:
        """Return the files in `folder` that the selection depends on: path => sha256."""
        return {}

    def keep_fraction(self) -> float:
        """Return the share of a generation that is kept whatever the images show, in (0, 1]."""
        return 1.0

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """Return the positions among n images that are kept if all look alike: int64[M].

        The null model keeps these. Samples are in random order, so any positions will do.
        """
        return torch.arange(int(n * self.keep_fraction() + 1e-9))

    def metrics(
        self, unmarked: Images, samples: Images, real: Images, seed: Seed
    ) -> Sequence[tuple[str, Estimate, int]]:
        """Measure the filter on a generation, for metrics.csv: (name, value, number of images).

        `unmarked` is the model's output, `samples` the same after `mark`, `real` held-out images.
        """
        return ()


def _match(rows: object, labels: object) -> bool:
    """Whether they are int32[M] and int16[M]."""
    return (
        isinstance(rows, Tensor)
        and isinstance(labels, Tensor)
        and (rows.dtype, labels.dtype) == (torch.int32, torch.int16)
        and rows.shape == labels.shape
        and rows.ndim == 1
    )


def thin(found: Tensor, weight: float, seed: Seed) -> Tensor:
    """Return the positions kept, int64[M]: not found, or found and spared with a probability."""
    spared = torch.rand(len(found), generator=(seed / "spared").torch()) < weight
    return (~found | spared).nonzero().flatten()


def _function(path: str) -> Callable[[Tensor], ArrayLike]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _importable(path: str | None) -> str | None:
    try:
        if path is not None and not callable(_function(path)):
            raise ValueError(f"{path} is not a function")
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be imported: {error}") from None
    return path


Scorer = Annotated[str | None, AfterValidator(_importable)]
"""`module:function`, uint8[N, C, H, W] => N scores, larger is better; or None."""


def score(scorer: str, pixels: Tensor) -> NDArray[np.float64]:
    """Return a user's scores of uint8[N, C, H, W] images: float64[N].

    Raises:
        UserError: the scorer does not return one finite number for each image.
    """
    values = np.asarray(_function(scorer)(pixels), dtype=np.float64)
    if values.shape != (len(pixels),) or not np.isfinite(values).all():
        raise UserError(
            f"curation.scorer: {scorer} returned shape {values.shape} for {len(pixels)} images, or "
            "values that are not finite; return one finite number for each image"
        )
    return values
