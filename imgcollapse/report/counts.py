"""The census of a run as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imgcollapse.census import UNRECOGNISED
from imgcollapse.core.errors import UserError
from imgcollapse.run_folder import Run

Cube = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """The census of L lineages over G generations and K classes.

    Of a study under way these are the lineages that have come furthest.

    Attributes:
        classes: K names, common to rare.
        lineages: L numbers.
        named: float64[L, G, K], samples the oracle names so.
        unrecognised: float64[L, G], samples it cannot name.
        low: float64[L, G, K], lower end of the share's interval.
        high: float64[L, G, K], its upper end.
        expected: float64[G, K], shares that the regime would give with no loss.
        training: int64[K], images of each class in generation 0.
    """

    classes: tuple[str, ...]
    lineages: tuple[int, ...]
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
        last = table["generation"].max()
        lineages = table.loc[table["generation"] == last, "lineage"].unique().tolist()
        table = table[table["lineage"].isin(lineages)]

        def cube(column: str, names: Sequence[str]) -> Cube:
            wide = table.pivot(index=["lineage", "generation"], columns="class", values=column)
            values = wide[list(names)].astype("Float64").to_numpy(np.float64, na_value=np.nan)
            return values.reshape(len(lineages), -1, len(names))

        return cls(
            classes=tuple(classes),
            lineages=tuple(lineages),
            named=cube("counted", classes),
            unrecognised=cube("counted", [UNRECOGNISED])[:, :, 0],
            low=cube("low", classes),
            high=cube("high", classes),
            expected=cube("expected", classes)[0],
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
        return (self.named > 0).sum(axis=2).astype(np.float64)

    @property
    def last(self) -> int:
        """The last generation."""
        return self.named.shape[1] - 1

    @property
    def last_seen(self) -> NDArray[np.int64]:
        """The last generation with a sample of the class: int64[L, K]; -1 for none."""
        there = self.named > 0
        return np.where(there.any(axis=1), self.last - there[:, ::-1].argmax(axis=1), -1)

    @property
    def gone(self) -> NDArray[np.bool_]:
        """Whether a class is no longer seen in generation `last`: bool[L, K]."""
        return self.last_seen < self.last
