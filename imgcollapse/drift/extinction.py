"""Generations until a class goes extinct, if drift alone goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imgcollapse.core.errors import UserError
from imgcollapse.drift.null_model import NullModel
from imgcollapse.drift.wright_fisher import loss_by, loss_time_exact
from imgcollapse.theory import loss_time, median_loss, survival

EXACT = 2000
"""Most images for which the chain is solved: 8 n^2 bytes, and n^3 steps once."""


@dataclass(frozen=True)
class ExtinctionTime:
    """Generations from now until a class is lost.

    Attributes:
        mean: expected generations if it is lost, or None.
        median: generations after which it is as likely lost as not, or None.
        horizon: generations looked ahead; a median of None means more than these.
        lost: probability that it is lost within the horizon.
        reason: why something is None, else None.
    """

    mean: float | None
    median: int | None
    horizon: int
    lost: float
    reason: str | None = None


def time_left(copies: Sequence[int], n: int, horizon: int = 1000) -> tuple[ExtinctionTime, ...]:
    """Extinction times of classes with `copies` [K] among the n images of a regime like `replace`.

    Up to n = 2000 from the exact Wright-Fisher chain; beyond, median and probability from the
    branching approximation and the mean from the diffusion (theory.py).

    Raises:
        UserError: a class has fewer copies than none, or more than n.
    """
    for m in copies:
        if not 0 <= m <= n or n < 1:
            raise UserError(f"extinction: {m} copies of a class among {n} images; give 0 to n of n")
    if n <= EXACT:
        chance = loss_by(n, copies, horizon)
        gone = [int(c.argmax()) if c[-1] >= 0.5 else None for c in chance >= 0.5]
        means = [loss_time_exact(n, m) for m in copies]
        lost = chance[:, -1].tolist()
    else:
        gone = [0 if m == 0 else median_loss(m) for m in copies]
        gone = [t if t <= horizon else None for t in gone]
        means = [loss_time(n, m / n) for m in copies]
        lost = [0.0 if m == n else float(1 - survival(n, m / n, horizon)) for m in copies]
    return tuple(
        ExtinctionTime(mean, median, horizon, chance, _why(mean, median, horizon))
        for mean, median, chance in zip(means, gone, lost, strict=True)
    )


def simulated_time_left(null: NullModel, observed: int) -> tuple[ExtinctionTime, ...]:
    """Extinction times of every class from simulated lineages after `observed` generations.

    A class is lost in generation g if it has no sample there and no later training set has it; so
    the last generation cannot be judged, and the horizon is one less. The mean is known only if
    every replicate lost the class.
    """
    generations, classes = null.shares.shape[1:]
    horizon = generations - 2 - observed
    if horizon < 0:
        unknown = ExtinctionTime(None, None, 0, 0.0, "no later generation was simulated")
        return (unknown,) * classes
    in_training = null.given(null.shares) > 0
    # later[s, g, k]: class k is in the training set of generation g or of a later one.
    later = np.logical_or.accumulate(in_training[:, ::-1], axis=1)[:, ::-1]
    gone = ~later[:, observed + 1 :] & (null.shares[:, observed:-1] == 0)
    times = []
    for k in range(classes):
        lost = gone[:, :, k].any(axis=1)
        when = np.where(lost, gone[:, :, k].argmax(axis=1), horizon + 1)
        middle = int(np.sort(when)[(len(when) - 1) // 2])
        median = middle if middle <= horizon else None
        mean = float(when.mean()) if lost.all() else None
        times.append(
            ExtinctionTime(mean, median, horizon, float(lost.mean()), _alive(lost, horizon))
        )
    return tuple(times)


def _why(mean: float | None, median: int | None, horizon: int) -> str | None:
    if mean is None:
        return "the only class: it cannot be lost"
    return f"more likely there than not after {horizon} generations" if median is None else None


def _alive(lost: np.ndarray, horizon: int) -> str | None:
    left = float(1 - lost.mean())
    return f"{left:.1%} of the replicates have it after {horizon} generations" if left else None
