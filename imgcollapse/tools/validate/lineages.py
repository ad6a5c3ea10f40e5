"""Lineages of labels alone: the program's own loop, on images of no pixels.

The order of events is loop.py's: a regime selects rows of the archive, the generator is fitted to
them, the model draws as many samples as the real training set has, and these join the archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.device import choose_device
from imgcollapse.core.images import UNKNOWN, Images, LabelsOnly
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.base import Generator
from imgcollapse.regimes import Regime
from imgcollapse.tools.validate.laws import Array
from imgcollapse.training.context import RunContext

CPU = choose_device("cpu", "float32")


NO_RESERVE = LabelsOnly(torch.empty(0, dtype=torch.int16))


def classes_of(*copies: int) -> Tensor:
    """Labels of K classes with so many copies each, int16[n], in class order."""
    return torch.arange(len(copies), dtype=torch.int16).repeat_interleave(torch.tensor(copies))


@dataclass(frozen=True)
class Born:
    """The g-th model and its samples.

    Attributes:
        training: int16[M], labels of its training set.
        samples: int16[n], labels of its samples.
    """

    training: Tensor
    samples: Tensor


def resampled(generator: Generator, images: Images, n: int, seed: Seed) -> Images:
    """Fit a generator to images and draw n samples."""
    context = RunContext(seed / "fit", CPU, images.shape, 0)
    model = generator.fit(images, context)
    asked = torch.full((n,), UNKNOWN, dtype=torch.int16)
    return model.sample(asked, context.with_seed(seed / "sample"))


def descend(
    regime: Regime,
    generator: Generator,
    real: Tensor,
    seed: Seed,
    reserve: LabelsOnly = NO_RESERVE,
) -> Iterator[Born]:
    """Live without end from real labels, int16[n]; the first one born is model 1."""
    archive = LineageImages(LabelsOnly(real), reserve)
    for g in count(1):
        training = archive.gather(regime.select(archive, g, seed / g / "select"))
        samples = resampled(generator, training, len(real), seed / g)
        archive.append(samples)
        yield Born(training.labels, samples.labels)


def history(
    regime: Regime,
    generator: Generator,
    real: Tensor,
    generations: int,
    seed: Seed,
    reserve: LabelsOnly = NO_RESERVE,
) -> list[Born]:
    """The first so many generations of a lineage."""
    return list(islice(descend(regime, generator, real, seed, reserve), generations))


def counts(labels: Tensor, classes: int) -> Array:
    """Images of each class: int16[n] labels => float64[K]."""
    return np.bincount(labels.numpy(), minlength=classes).astype(np.float64)


def heterozygosity(labels: Tensor) -> float:
    """1 - sum p^2: the chance that two images, drawn with replacement, differ in class."""
    p = counts(labels, 1) / len(labels)
    return float(1 - p @ p)
