"""The null model of a study: its class shares, and its images, under drift alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.census import HeldOut, measured_shares
from imgcollapse.config.study import Study
from imgcollapse.core.images import class_shares
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import simulated_selection
from imgcollapse.drift import NullModel, SelectionModel, simulate
from imgcollapse.label_policy import LabelPolicy

LINEAGES = 200  # replicates in which every image is followed
MEASURED = 500  # replicates that the oracle measures; fewer of many images or generations
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
    study: Study, real: Tensor, reserve: Tensor, generations: int, replicates: int = LINEAGES
) -> Iterator[NDArray[np.int64]]:
    """Simulates a study with a perfect learner that draws the real images again, image by image.

    Whatever is in an image, such as its visual words, drifts with it. Arguments as for
    `simulate_labels`; more fresh real images, as a longer study may have, make other draws.

    Yields:
        int64[S, G+1, n+R], how often each real image is among the samples of a generation; so many
        `replicates` in all, some at a time; nothing where there are more than 32,768 images.
    """
    n, count = len(real), len(real) + len(reserve)
    if count > MOST_IMAGES:
        return
    samples, seed = study.samples or n, Seed((study.seed, "chance", "images"))
    each = torch.arange(count, dtype=torch.int16)
    policy = _ImageShares(study.labels, torch.cat([real, reserve]))
    asked = policy if study.generator.conditional else None
    at_once = max(1, min(replicates, AT_ONCE // count))
    for begin in range(0, replicates, at_once):
        draws = seed / begin, min(at_once, replicates - begin)
        sizes, curation = (samples, generations, count), _curation(study)
        null = simulate(study.regime, asked, each[:n], each[n:], *sizes, *draws, curation=curation)
        drawn = (null.shares * samples).round().astype(np.int64)
        drawn[:, 0] = np.arange(count) < n
        yield drawn


def measure_images(
    study: Study,
    labels: tuple[Tensor, Tensor],
    generations: int,
    probabilities: Tensor,
    counted: Tensor,
    held_out: HeldOut,
) -> Tensor:
    """Class shares that the census finds where a perfect learner draws the real images again.

    A misread image is copied with its misreading, so the oracle's error drifts here as it does in a
    lineage.

    Args:
        study: as for `simulate_labels`.
        labels: int16[n] and int16[R], classes of the real training set and of the reserve.
        generations: how many.
        probabilities: float32[n+R, K], the oracle's for these images.
        counted: int16[n+R], their most probable classes, or `UNKNOWN`.
        held_out: the oracle's predictions on held-out images.

    Returns:
        float32[S, G+1, K], generation 0 the true shares.
    """
    replicates = min(MEASURED, max(LINEAGES, 5_000_000 // len(counted)))
    replicates = min(replicates, max(LINEAGES // 2, 50_000 // max(generations, 1)))
    found = []
    for drawn in simulate_images(study, *labels, generations, replicates):
        true = class_shares(labels[0], probabilities.shape[1]).numpy()
        shares = [np.tile(true, (len(drawn), 1))]
        for g in range(1, generations + 1):
            times = drawn[:, g].astype(np.float64)
            shares.append(measured_shares(times, probabilities, counted, held_out))
        found.append(torch.from_numpy(np.stack(shares, 1)).float())
    return torch.cat(found)


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
