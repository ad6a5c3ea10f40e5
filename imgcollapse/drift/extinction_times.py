"""How long a class has from here, if chance alone goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imgcollapse.core.errors import UserError
from imgcollapse.drift.null import NullModel
from imgcollapse.drift.survival_law import median_loss, survival
from imgcollapse.drift.wright_fisher import loss_by, loss_time, loss_time_exact

EXACT = 2000
"""Most images for which the chain is solved: 8 n^2 bytes, and n^3 steps once."""


@dataclass(frozen=True)
class ExtinctionTime:
    """Generations from now until a class is gone.

    Attributes:
        mean: expected generations if it is lost, or None.
        median: generations after which it is as likely gone as not, or None.
        horizon: generations looked ahead; a median of None means more than these.
        lost: probability that it is gone within the horizon.
        reason: why something is None, else None.
    """

    mean: float | None
    median: int | None
    horizon: int
    lost: float
    reason: str | None = None


def time_left(copies: Sequence[int], n: int, horizon: int = 1000) -> tuple[ExtinctionTime, ...]:
    """Of classes with so many copies [K] among the n images of a regime like `replace`.

    n <= 2000: the exact Wright-Fisher chain. Beyond: Suresh's recursion for median and probability,
    Kimura & Ohta's diffusion for the mean.

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


def simulated_time_left(null: NullModel, born: int) -> tuple[ExtinctionTime, ...]:
    """Of every class, from a replay whose first `born` generations are history.

    A class is gone in generation g if none of its samples is there and no later training set of the
    replay has it; so the last generation can not be judged, and the horizon is one less. The mean
    is known only if every replicate lost the class.
    """
    generations, classes = null.shares.shape[1:]
    horizon = generations - 2 - born
    if horizon < 0:
        unknown = ExtinctionTime(None, None, 0, 0.0, "the replay has no generation to come")
        return (unknown,) * classes
    in_training = null.given(null.shares) > 0
    # From each generation on, whether any later training set has the class.
    later = np.logical_or.accumulate(in_training[:, ::-1], axis=1)[:, ::-1]
    gone = ~later[:, born + 1 :] & (null.shares[:, born:-1] == 0)
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
