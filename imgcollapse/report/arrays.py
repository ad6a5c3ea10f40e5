"""Census and metrics as arrays over lineages, their means, intervals and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from imgcollapse.census import UNRECOGNIZED, score_interval
from imgcollapse.core.errors import UserError
from imgcollapse.drift import heterozygosity
from imgcollapse.runs.run_dir import Run

FloatArray = NDArray[np.float64]
"""An array; its axes are lineages, generations and classes, those that apply."""


@dataclass(frozen=True)
class CensusArrays:
    """The census of L lineages over G generations and K classes, from common to rare.

    Of a study under way these are the lineages that have come furthest. Where nothing in a
    generation was recognized its frequencies, their intervals and limits are NaN.
    """

    classes: tuple[str, ...]
    lineages: tuple[int, ...]
    n: FloatArray  # [L, G] samples
    named: FloatArray  # [L, G, K] samples whose most probable class this is
    unrecognized: FloatArray  # [L, G] samples that are like no real image
    frequency: FloatArray  # [L, G, K] corrected share among the recognized samples
    low: FloatArray  # [L, G, K] ends of its 95% interval
    high: FloatArray
    limit: FloatArray  # [L, G, K] the detection limit
    noise: FloatArray  # [L, G, K] the part of the frequency's variance that is the oracle's
    extinct: NDArray[np.bool_]  # [L, G, K]
    called: NDArray[np.int64]  # [L, K] generation of the call that stands in the last one, or -1
    expected: FloatArray  # [G, K] shares that the regime would give with no loss
    drift_low: FloatArray  # [G, K] ends of the 95% band of drift alone
    drift_high: FloatArray
    training: NDArray[np.int64]  # [K] images of each class in generation 0

    @classmethod
    def of(cls, run: Run) -> CensusArrays:
        """Read a run.

        Raises:
            UserError: it has no generation yet.
        """
        table, classes = with_lineage(run.census), run.record["classes"]
        if table.empty:
            raise UserError(f"{run.path}: holds no generation yet; run its study first")
        last = table["generation"].max()
        lineages = table.loc[table["generation"] == last, "lineage"].unique().tolist()
        table = table[table["lineage"].isin(lineages)]
        table = table.assign(extinct=table["status"] == "extinct")

        def cube(column: str, names: Sequence[str] = classes) -> FloatArray:
            wide = table.pivot(index=["lineage", "generation"], columns="class", values=column)
            values = wide[list(names)].astype("Float64").to_numpy(np.float64, na_value=np.nan)
            return values.reshape(len(lineages), -1, len(names))

        return cls(
            classes=tuple(classes),
            lineages=tuple(lineages),
            n=cube("n", [UNRECOGNIZED])[:, :, 0],
            named=cube("counted"),
            unrecognized=cube("counted", [UNRECOGNIZED])[:, :, 0],
            frequency=cube("frequency"),
            low=cube("low"),
            high=cube("high"),
            limit=cube("detection_limit"),
            noise=cube("noise"),
            extinct=cube("extinct") > 0,
            called=np.nan_to_num(cube("called")[:, -1], nan=-1).astype(np.int64),
            expected=cube("expected")[0],
            drift_low=cube("drift_low")[0],
            drift_high=cube("drift_high")[0],
            training=cube("asked")[0, 0].astype(np.int64),
        )

    @property
    def last(self) -> int:
        """The last generation."""
        return self.named.shape[1] - 1

    @property
    def recognized(self) -> FloatArray:
        """Samples that are recognized: float64[L, G]."""
        return self.n - self.unrecognized

    @property
    def detected(self) -> NDArray[np.bool_]:
        """True where the frequency's interval leaves out 0: bool[L, G, K]."""
        return self.low > 0

    def detects(self, shares: FloatArray) -> NDArray[np.bool_]:
        """True where classes with shares float64[..., G, K] of a generation would be detected.

        By the rule of `detected`, at the means over lineages of samples and of the oracle's part.
        """
        generations = shares.shape[-2]
        n = np.maximum(self.recognized.mean(axis=0), 1)[:generations, None]
        noise = np.nan_to_num(self.noise).mean(axis=0)[:generations]
        return score_interval(shares, n, noise)[0] > 0

    @property
    def last_detected(self) -> NDArray[np.int64]:
        """The last generation in which the class was detected: int64[L, K]; -1 for none."""
        there = self.detected
        return np.where(there.any(axis=1), self.last - there[:, ::-1].argmax(axis=1), -1)

    @property
    def gone(self) -> NDArray[np.bool_]:
        """True where a class is below detection, or extinct, in generation `last`: bool[L, K]."""
        return self.last_detected < self.last

    @property
    def heterozygosity(self) -> FloatArray:
        """Chance that two recognized samples differ in class, 1 - sum p^2: float64[L, G]."""
        return heterozygosity(self.frequency)

    @property
    def heterozygosity_error(self) -> FloatArray:
        """Its standard error float64[L, G], by the delta method.

        Var = 4 [sum p^3 - (sum p^2)^2] / n for n recognized samples, plus the oracle's 4 sum p^2
        noise.
        """
        p = self.frequency
        drawn = (p**3).sum(axis=2) - (p**2).sum(axis=2) ** 2
        sampling = drawn.clip(min=0) / np.maximum(self.recognized, 1)
        return 2 * np.sqrt(sampling + (p**2 * self.noise).sum(axis=2))


def mean(values: FloatArray) -> FloatArray:
    """Mean over lineages, float64[L, ...] => [...]; NaN where none is defined."""
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def interval_of_mean(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """95% interval of the mean over L lineages by Student's t: float64[L, G] => [G] both.

    NaN where fewer than two lineages are defined.
    """
    there = np.isfinite(values)
    n, center = there.sum(axis=0), mean(values)
    squares = np.where(there, (values - center) ** 2, 0).sum(axis=0)
    spread = np.divide(squares, n * (n - 1.0), out=np.full(len(n), np.nan), where=n > 1)
    reach = stdtrit(np.maximum(n - 1, 1), 0.975) * np.sqrt(spread)
    return center - reach, center + reach


def tidy(
    lineages: Sequence[int],
    name: str,
    values: FloatArray,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
    **beside: FloatArray | None,
) -> pd.DataFrame:
    """One row for each lineage and generation: lineage, generation, name, low, high and `beside`.

    Of several lineages (without them there is no such column) the mean is in rows of its own, and
    has the only interval, by Student's t.

    Args:
        lineages: L numbers.
        name: the column of the values.
        values: float64[L, G].
        low: lower ends of their intervals.
        high: upper ends.
        beside: float64[G] columns, the same for every lineage; None is left out.
    """
    several, generations = len(lineages) > 1, values.shape[1]
    columns = {name: values}
    if low is not None and high is not None:
        columns |= {"low": low, "high": high}
    if several:
        ends = dict(zip(("low", "high"), interval_of_mean(values), strict=True))
        # Intervals of single lineages are not drawn, and would be most of a large table.
        columns = {key: np.full_like(values, np.nan) for key in columns} | {name: values}
        average = {name: mean(values), **ends}
        columns = {key: np.vstack([cube, average[key]]) for key, cube in columns.items()}
    rows = len(columns[name])
    table = pd.DataFrame(
        {
            "lineage": np.repeat([*map(str, lineages), "mean"][:rows], generations),
            "generation": np.tile(np.arange(generations), rows),
            **{key: cube.ravel() for key, cube in columns.items()},
            **{key: np.tile(row, rows) for key, row in beside.items() if row is not None},
        }
    )
    return table if several else table.drop(columns="lineage")


def padded(values: FloatArray, generations: int) -> FloatArray:
    """float64[g] => [G], NaN in the generations that it does not reach."""
    return np.pad(values.astype(np.float64), (0, generations - len(values)), constant_values=np.nan)


def with_lineage(table: pd.DataFrame) -> pd.DataFrame:
    """A table of a run, with the column that one lineage leaves out."""
    return table if "lineage" in table else table.assign(lineage=0)


def series(metrics: pd.DataFrame, metric: str, column: str, generations: int) -> FloatArray | None:
    """float64[L, G] of a whole-population metric, or None where it is nowhere defined."""
    rows = with_lineage(metrics.loc[(metrics["metric"] == metric) & (metrics["class"] == "")])
    wide = rows.pivot(index="lineage", columns="generation", values=column)
    values = wide.reindex(columns=range(generations)).astype("Float64")
    found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found if np.isfinite(found).any() else None
