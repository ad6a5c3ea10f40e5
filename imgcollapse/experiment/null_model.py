"""The null model of a study: its class shares, and its images, under drift alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.config.study import Study
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import simulated_selection
from imgcollapse.drift import NullModel, SelectionModel, simulate
from imgcollapse.label_policy import LabelPolicy

LINEAGES = 200  # replicates in which every image is followed
MOST_IMAGES = 2**15  # each image is a label of its own, and a label has 16 bits
AT_ONCE = 2_000_000  # images over all replicates that are simulated at a time, about


def simulate_labels(
    study: Study, real: Tensor, reserve: Tensor, generations: int, replicates: int = 1000
) -> NullModel:
    """Simulates a study with a perfect learner, labels only.

    `real` and `reserve` are the labels of the training set, int16[n], and of the fresh images in
    the order they are used, int16[R]. More generations leave the earlier ones as they are.
    """
    asked = study.labels.shares if study.generator.conditional else None
    sizes = study.samples or len(real), generations, int(real.max()) + 1
    seed, curation = Seed((study.seed, "chance")), _curation(study)
    return simulate(study.regime, asked, real, reserve, *sizes, seed, replicates, curation=curation)


def simulate_images(
    study: Study, real: Tensor, reserve: Tensor, generations: int
) -> Iterator[NDArray[np.int64]]:
    """Simulates a study with a perfect learner that draws the real images again, image by image.

    Whatever is in an image, such as its visual words, drifts with it. Arguments as for
    `simulate_labels`; more fresh real images, as a longer study may have, make other draws.

    Yields:
        int64[S, G+1, n+R], how often each real image is among the samples of a generation; 200
        lineages in all, some at a time; nothing where there are more than 32,768 images.
    """
    n, count = len(real), len(real) + len(reserve)
    if count > MOST_IMAGES:
        return
    samples, seed = study.samples or n, Seed((study.seed, "chance", "images"))
    each = torch.arange(count, dtype=torch.int16)
    policy = _ImageShares(study.labels, torch.cat([real, reserve]))
    asked = policy if study.generator.conditional else None
    at_once = max(1, min(LINEAGES, AT_ONCE // count))
    for begin in range(0, LINEAGES, at_once):
        draws = seed / begin, min(at_once, LINEAGES - begin)
        sizes, curation = (samples, generations, count), _curation(study)
        null = simulate(study.regime, asked, each[:n], each[n:], *sizes, *draws, curation=curation)
        drawn = (null.shares * samples).round().astype(np.int64)
        drawn[:, 0] = np.arange(count) < n
        yield drawn


def _curation(study: Study) -> SelectionModel | None:
    return partial(simulated_selection, study.curation) if study.curation else None


class _ImageShares:
    """A label policy applied to images: all images of a class get the same weight."""

    def __init__(self, policy: LabelPolicy, labels: Tensor) -> None:
        self.policy, self.labels = policy, labels.long()

    def __call__(self, training: Tensor, real: Tensor) -> Tensor:
        """Shares float64[n+R] of a training set's images => the shares asked for."""
        now, then = (self._classes(shares) for shares in (training, real))
        weight = self.policy.shares(now, then) / now
        # A class that is lost cannot be drawn even if it is asked for.
        wanted = training * torch.where(now > 0, weight, 0)[self.labels]
        return wanted / wanted.sum()

    def _classes(self, shares: Tensor) -> Tensor:
        return torch.zeros(int(self.labels.max()) + 1).double().index_add(0, self.labels, shares)
