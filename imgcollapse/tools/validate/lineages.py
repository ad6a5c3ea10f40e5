"""Lineages of labels alone: the events of a study's loop, on images without pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.device import choose_device
from imgcollapse.core.images import UNKNOWN, Images, LabelsOnly
from imgcollapse.core.lineage_images import LineageImages, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.base import Generator
from imgcollapse.regimes import Regime
from imgcollapse.tools.validate.laws import Array
from imgcollapse.training.context import RunContext

CPU = choose_device("cpu", "float32")
NO_RESERVE = LabelsOnly(torch.empty(0, dtype=torch.int16))


class Generation(NamedTuple):
    """The labels of a model's training set, int16[M], and of its samples, int16[n]."""

    training: Tensor
    samples: Tensor


def lineage(
    regime: Regime,
    generator: Generator,
    real: Tensor,
    seed: Seed,
    generations: int | None = None,
    reserve: LabelsOnly = NO_RESERVE,
) -> Iterator[Generation]:
    """Yields generations 1, 2, ... from real labels, int16[n]; None is without end.

    The events of a generation: the regime selects the training set, the generator is fitted to it,
    and the model draws n samples.
    """
    images = LineageImages(LabelsOnly(real), reserve)
    for _, seed_g, chosen in training_sets(regime, images, lambda g: seed / g, last=generations):
        training = images.gather(chosen)
        samples = fit_and_sample(generator, training, len(real), seed_g)
        images.append(samples)
        yield Generation(training.labels, samples.labels)


def fit_and_sample(generator: Generator, images: Images, n: int, seed: Seed) -> Images:
    """Fits a generator to images and draws n samples."""
    context = RunContext(seed / "fit", CPU, images.shape, 0)
    model = generator.fit(images, context)
    asked = torch.full((n,), UNKNOWN, dtype=torch.int16)
    return model.sample(asked, context.with_seed(seed / "sample"))


def labels_of(*copies: int) -> Tensor:
    """Labels of K classes with so many copies each, int16[n], in class order."""
    return torch.arange(len(copies), dtype=torch.int16).repeat_interleave(torch.tensor(copies))


def counts(labels: Tensor, classes: int) -> Array:
    """Images of each class: int16[n] labels => float64[K]."""
    return np.bincount(labels.numpy(), minlength=classes).astype(np.float64)


def heterozygosity(labels: Tensor) -> float:
    """1 - sum p^2: the probability that two images, drawn with replacement, differ in class."""
    p = counts(labels, 1) / len(labels)
    return float(1 - p @ p)
