"""What of a generation enters the pool that later models are trained on.

Filters look at the images of one generation, one filter after another, before the next model is
trained. A chooser closes ranks: what it turns down is as if it had never been drawn, and a regime
takes the next one instead. A screen leaves a gap: an image that it finds is missing from every
training set it would have been in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from imgcollapse.core.components import Component
from imgcollapse.core.estimate import Estimate
from imgcollapse.core.images import Images
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed


@dataclass(frozen=True)
class FilterInput:
    """Images of one generation, as a filter sees them.

    Attributes:
        generation: its number; 0 is real.
        rows: int32[N], the row of each image in its generation.
        classes: K names; a label is an index into them.
        images: their labels are those they would be trained with.
        counted: int16[N], what the oracle names them, or `UNKNOWN`.
        probabilities: float32[N, K], the oracle's, for classes that are equally common.
        features: float32[N, D], the oracle's.
        atypicality: float64[N], the larger, the less like a real image.
        held_out: float64[M], atypicality of real images the oracle was not trained on.
        folder: the lineage's, for what people leave there.
    """

    generation: int
    rows: Tensor
    classes: Sequence[str]
    images: Images
    counted: Tensor
    probabilities: Tensor
    features: Tensor
    atypicality: Tensor
    held_out: Tensor
    folder: Path

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Tensor) -> FilterInput:
        """Those at the positions int64[M]."""
        return replace(
            self,
            rows=self.rows[chosen],
            images=self.images[chosen],
            counted=self.counted[chosen],
            probabilities=self.probabilities[chosen],
            features=self.features[chosen],
            atypicality=self.atypicality[chosen],
        )

    def select(self, chosen: Tensor) -> Selection:
        """Keep the images at the positions int64[M], with the labels they have."""
        return Selection(self.rows[chosen], self.images.labels[chosen])


class Filter(Component, ABC):
    """A rule for what enters the pool.

    Attributes:
        judges_real: whether the real generation 0 is shown to it as well.
        screens: whether it leaves gaps, instead of closing ranks.
    """

    filters_real: ClassVar[bool] = False
    leaves_gaps: ClassVar[bool] = False

    def check(self, classes: Sequence[str]) -> None:
        """See that its settings suit a study's classes, before anything is trained.

        Raises:
            UserError: they do not, and what to do.
        """

    @abstractmethod
    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """Those of the candidates that enter the pool; no `GAP` among them.

        Raises:
            UserError: it cannot judge these candidates, and why.
        """

    def mark(self, samples: Images, seed: Seed) -> Images:
        """The samples as they leave the model, before anybody sees them."""
        return samples

    def pending_reason(self, generation: int, folder: Path) -> str | None:
        """One line that says what must happen before it can judge a generation; None if nothing."""
        return None

    def dependencies(self, generation: int, folder: Path) -> Mapping[str, str]:
        """What its choice rests on beside the images: a file in `folder` => its sha256."""
        return {}

    def keep_fraction(self) -> float:
        """The share of a generation that is kept whatever the images are, in (0, 1]."""
        return 1.0

    def null_selection(self, generation: int, n: int, seed: Seed) -> Tensor:
        """Positions among n images that it would keep if all images looked alike: int64[M].

        This is what the replays of chance keep. Samples lie in random order, so that any will do.
        """
        return torch.arange(int(n * self.keep_fraction() + 1e-9))

    def metrics(
        self, unmarked: Images, samples: Images, real: Images, seed: Seed
    ) -> Sequence[tuple[str, Estimate, int]]:
        """What it says of a generation beside its choice, for metrics.csv.

        Args:
            unmarked: the model's output as it was.
            samples: the same after `mark`.
            real: held-out real images.
            seed: names the draws.

        Returns:
            A metric's name, its value, and the number of images it is over.
        """
        return ()
