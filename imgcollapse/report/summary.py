"""What a run's census says, in numbers and in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgcollapse.census import UNRECOGNISED
from imgcollapse.core.errors import UserError
from imgcollapse.run_folder import Run

FAITHFUL_RECOGNISED, FAITHFUL_DISTANCE, TRUSTED_ACCURACY = 0.95, 0.06, 0.9
"""Below, above and below which a result deserves a warning."""

Cube = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """The census of L lineages over G generations and K classes; NaN where none is committed yet.

    Attributes:
        classes: K names, common to rare.
        named: float64[L, G, K], samples the oracle names so.
        unrecognised: float64[L, G], samples it cannot name.
        low: float64[L, G, K], lower end of the share's interval.
        high: float64[L, G, K], its upper end.
        expected: float64[G, K], shares that the regime would give with no loss.
        training: int64[K], images of each class in generation 0.
    """

    classes: tuple[str, ...]
    named: Cube
    unrecognised: Cube
    low: Cube
    high: Cube
    expected: Cube
    training: NDArray[np.int64]

    @classmethod
    def of(cls, run: Run) -> Counts:
        """Read a run.

        Raises:
            UserError: it has no generation yet.
        """
        table, classes = run.census, run.record["classes"]
        if table.empty:
            raise UserError(f"{run.path}: holds no generation yet; run its study first")
        if "lineage" not in table:
            table = table.assign(lineage=0)
        index = ["lineage", "generation"]
        shape = table["lineage"].nunique(), int(table["generation"].max()) + 1
        full = pd.MultiIndex.from_product([table["lineage"].unique(), range(shape[1])], names=index)

        def cube(column: str, names: Sequence[str]) -> Cube:
            wide = table.pivot(index=index, columns="class", values=column)
            values = wide.reindex(index=full, columns=pd.Index(names)).astype("Float64")
            return values.to_numpy(dtype=np.float64, na_value=np.nan).reshape(*shape, len(names))

        expected = cube("expected", classes)
        longest = np.isfinite(expected).all(axis=2).sum(axis=1).argmax()
        return cls(
            classes=tuple(classes),
            named=cube("counted", classes),
            unrecognised=cube("counted", [UNRECOGNISED])[:, :, 0],
            low=cube("low", classes),
            high=cube("high", classes),
            expected=expected[longest],
            training=cube("asked", classes)[0, 0].astype(np.int64),
        )

    @property
    def n(self) -> Cube:
        """Samples a generation: float64[L, G]."""
        return self.named.sum(axis=2) + self.unrecognised

    @property
    def shares(self) -> Cube:
        """Class shares among recognised samples: float64[L, G, K]; NaN where there are none."""
        total = self.named.sum(axis=2, keepdims=True)
        return np.divide(self.named, total, out=np.full_like(self.named, np.nan), where=total > 0)

    @property
    def heterozygosity(self) -> Cube:
        """Chance that two recognised samples differ in class, 1 - sum p^2: float64[L, G]."""
        return 1 - (self.shares**2).sum(axis=2)

    @property
    def seen(self) -> Cube:
        """Classes with at least one sample: float64[L, G]."""
        return np.where(np.isnan(self.n), np.nan, (self.named > 0).sum(axis=2))

    @property
    def last(self) -> int:
        """The last generation that every lineage has reached."""
        return int(np.isfinite(self.n).sum(axis=1).min()) - 1

    @property
    def last_seen(self) -> NDArray[np.int64]:
        """The last generation up to `last` with a sample of the class: int64[L, K]; -1 for none."""
        there = self.named[:, : self.last + 1] > 0
        return np.where(there.any(axis=1), self.last - there[:, ::-1].argmax(axis=1), -1)

    @property
    def gone(self) -> NDArray[np.bool_]:
        """Whether a class is no longer seen in generation `last`: bool[L, K]."""
        return self.last_seen < self.last


def headline(counts: Counts) -> list[str]:
    """The result in a few sentences."""
    if counts.last == 0:
        return ["Only the real images are here so far; no model has been trained yet."]
    recognised = np.nanmean(1 - counts.unrecognised[:, 1] / counts.n[:, 1])
    return [
        _vanished(counts),
        _diversity(counts),
        f"The oracle recognised {recognised:.0%} of generation 1.",
    ]


def warnings(run: Run, counts: Counts) -> list[str]:
    """What a reader must know before believing the result."""
    found = []
    accuracy = run.record["oracle"]["accuracy"]
    if accuracy < TRUSTED_ACCURACY:
        found.append(
            f"The oracle names only {accuracy:.0%} of held-out real images rightly: "
            "the counts below are not to be trusted."
        )
    if counts.last == 0:
        return found
    recognised = float((1 - counts.unrecognised[:, 1] / counts.n[:, 1]).mean())
    if recognised < FAITHFUL_RECOGNISED:
        found.append(
            f"Generation 1 was not faithful: only {recognised:.0%} of it was recognised. "
            "This shows a poor generator, not collapse."
        )
    distances = np.abs(counts.shares[:, 1] - counts.expected[1]).sum(axis=1) / 2
    distance = float(np.nan_to_num(distances, nan=1).mean())
    if distance > FAITHFUL_DISTANCE:
        # Mean absolute deviation of a binomial share, summed over classes and halved.
        p, n = counts.expected[1], float(counts.n[:, 1].mean())
        chance = float(np.sqrt(2 * p * (1 - p) / (np.pi * n)).sum() / 2)
        verdict = (
            "This shows a poor generator, not collapse."
            if distance > 2 * chance
            else f"With {n:,.0f} samples chance alone gives about {chance:.2f}: "
            "they are too few to tell a poor generator from a good one."
        )
        found.append(
            f"Generation 1 was not faithful: the total variation between its class shares and "
            f"those it should have is {distance:.3f}, more than {FAITHFUL_DISTANCE}. {verdict}"
        )
    return found


def class_rows(counts: Counts) -> list[dict[str, Any]]:
    """One row for each class of the table "last seen", common to rare."""
    real = counts.training / counts.training.sum()
    final = counts.named[:, counts.last]
    return [
        {
            "name": name,
            "share": real[k],
            "training": int(counts.training[k]),
            "last_seen": _generations(counts.last_seen[:, k]),
            "count": final[:, k].mean(),
            "samples": counts.n[:, counts.last].mean(),
            "gone": counts.gone[:, k].mean(),
            "status": _status(counts.gone[:, k]),
        }
        for k, name in enumerate(counts.classes)
    ]


def short(name: str, most: int = 32) -> str:
    """A class name on one line, its middle left out where it is too long for a picture."""
    name = " ".join(name.split())
    if len(name) <= most:
        return name
    return f"{name[: most * 2 // 3]}…{name[len(name) - most // 3 + 1 :]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as English lists them: "a, b and c", or "a, b, c and 5 more"."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _vanished(counts: Counts) -> str:
    gone, when, classes = counts.gone, f"By generation {counts.last}", len(counts.classes)
    lineages = len(gone)
    if not gone.any():
        return f"{when} all {classes} classes are still seen."
    if lineages == 1:
        # The rarest first: they are what the study is about.
        names = [
            f"{counts.classes[k]} (last seen in generation {counts.last_seen[0, k]})"
            if counts.last_seen[0, k] >= 0
            else f"{counts.classes[k]} (never seen)"
            for k in np.flatnonzero(gone[0])[::-1]
        ]
        verb = "is" if len(names) == 1 else "are"
        return f"{when}, {len(names)} of {classes} classes {verb} no longer seen: {listed(names)}."
    often = [k for k in (-gone.mean(axis=0)).argsort(kind="stable") if gone[:, k].any()]
    names = [f"{counts.classes[k]} (in {gone[:, k].sum()} of {lineages})" for k in often]
    mean = gone.sum(axis=1).mean()
    return (
        f"{when}, {mean:.1f} of {classes} classes are no longer seen, on average over {lineages} "
        f"lineages: {listed(names)}."
    )


def _diversity(counts: Counts) -> str:
    values = counts.heterozygosity
    first, final = float(values[:, 0].mean()), float(values[:, counts.last].mean())
    name = "Heterozygosity, the chance that two samples differ in class,"
    if np.isnan(final):
        return f"{name} is undefined: nothing in generation {counts.last} was recognised."
    if f"{first:.2f}" == f"{final:.2f}":
        return f"{name} stayed at {final:.2f}."
    return f"{name} {'fell' if final < first else 'rose'} from {first:.2f} to {final:.2f}."


def _generations(last_seen: NDArray[np.int64]) -> str:
    low, high = int(last_seen.min()), int(last_seen.max())
    words = ["never" if g < 0 else str(g) for g in (low, high)]
    return words[0] if low == high else f"{words[0]} to {words[1]}"


def _status(gone: NDArray[np.bool_]) -> str:
    if len(gone) == 1:
        return "no longer seen" if gone[0] else "seen"
    return f"no longer seen in {gone.sum()} of {len(gone)}"
