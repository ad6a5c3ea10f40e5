"""Metrics of the whole population over generations, each beside real against real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.chart import GREY, chart, label_ends
from imgcollapse.report.figure import Figure
from imgcollapse.report.long_tables import tidy
from imgcollapse.report.series import ACCENT, floor_band, legend, lines, mean

SECOND = "#d97030"

METRICS: tuple[tuple[str, Mapping[str, str], float | None], ...] = (
    ("FID to real images", {"fid": "FID", "fid_infinity": "FID∞"}, None),
    ("KID to real images", {"kid": ""}, None),
    ("Precision and recall", {"precision": "precision", "recall": "recall"}, 1.02),
    ("Density and coverage", {"density": "density", "coverage": "coverage"}, None),
    ("Vendi score: effective number of samples", {"vendi": ""}, None),
    ("Bits per dimension of held-out real images", {"bits_per_dim": ""}, None),
    ("Memorised share of samples", {"memorized": ""}, None),
)
"""Charts: title, metrics with their labels, and the top of the axis where it is known."""


def metric_charts(metrics: pd.DataFrame, generations: int) -> Iterator[Figure]:
    """A chart for each of `METRICS` that has a value: with intervals, beside real against real."""
    # Generation 0 is the training set itself.
    metrics = metrics.loc[(metrics["metric"] != "memorized") | (metrics["generation"] > 0)]
    for title, names, top in METRICS:
        found = {
            name: values
            for name in names
            if (values := series(metrics, name, "value", generations)) is not None
        }
        if found:
            yield _metric_chart(metrics, title, names, found, top)


def _metric_chart(
    metrics: pd.DataFrame,
    title: str,
    names: Mapping[str, str],
    found: Mapping[str, Cube],
    top: float | None,
) -> Figure:
    labels, floors, tables = any(names[name] for name in found), False, []
    with chart(title, labelled=labels) as (figure, axes):
        ends = []
        for name, colour in zip(names, (ACCENT, SECOND), strict=False):
            if name not in found:
                continue
            values = found[name]
            shape = values.shape[1]
            low, high, floor_low, floor_high = (
                series(metrics, row, end, shape)
                for row in (name, f"{name}_floor")
                for end in ("low", "high")
            )
            # That of FID∞ is about 0, and would cover that of FID.
            if floor_low is not None and floor_high is not None and name != "fid_infinity":
                shade = colour if "recall" in names or "coverage" in names else GREY
                floor_band(axes, mean(floor_low), mean(floor_high), shade)
                floors = True
            nothing = np.full_like(values, np.nan)
            low, high = (nothing if end is None else end for end in (low, high))
            lines(axes, values, low, high, colour)
            ends_of_floor = {"floor_low": floor_low, "floor_high": floor_high}
            beside = {k: None if end is None else mean(end) for k, end in ends_of_floor.items()}
            table = tidy(_lineages(metrics), "value", values, low, high, **beside)
            table.insert(list(table).index("value"), "metric", name)
            tables.append(table)
            last = mean(values)[np.isfinite(mean(values))][-1]
            ends.append((float(last), names[name], colour))
        if top is not None:
            axes.set_ylim(0, top)
        elif min(float(np.nanmin(values)) for values in found.values()) >= 0:
            axes.set_ylim(bottom=0)
        if labels:
            label_ends(axes, ends)
        if floors:
            legend(axes, "dotted: real against real, 95%")
        said = "; ".join(_in_words(names[name], values) for name, values in found.items())
        alt = (
            f"{title} by generation: {said}{_floor_in_words(names[next(iter(found))], tables[0])}."
        )
        return Figure.drawn(figure, "-".join(found), alt, pd.concat(tables))


def _in_words(label: str, values: Cube) -> str:
    """The first defined value and the last."""
    average = mean(values)
    there = np.flatnonzero(np.isfinite(average))
    ends = [f"{average[g]:.3g} in {_generation(int(g))}" for g in dict.fromkeys(there[[0, -1]])]
    return f"{label} {' and '.join(ends)}".strip()


def _floor_in_words(label: str, table: pd.DataFrame) -> str:
    """The last band of real against real, of the first metric of a chart."""
    if not {"floor_low", "floor_high"} <= set(table):
        return ""
    low, high = table[["floor_low", "floor_high"]].dropna().iloc[-1]
    return f"; real images against real images give {label} {low:.3g} to {high:.3g}".replace(
        "  ", " "
    )


def _generation(g: int) -> str:
    return f"generation {g}" if g else "the real images"


def _lineages(metrics: pd.DataFrame) -> list[int]:
    return sorted(metrics["lineage"].unique().tolist()) if "lineage" in metrics else [0]


def undefined_metrics(metrics: pd.DataFrame) -> list[str]:
    """Why metrics of the whole population have no value, in sentences."""
    rows = metrics.loc[(metrics["class"] == "") & metrics["value"].isna()]
    found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (metric, note), group in rows.groupby(["metric", "note"], sort=False):
        where = tuple(sorted(group["generation"].unique().tolist()))
        found.setdefault((str(note), where), []).append(str(metric))
    return [
        f"{', '.join(names)} in {_generations(where)}: {note}."
        for (note, where), names in found.items()
    ]


def series(metrics: pd.DataFrame, metric: str, column: str, generations: int) -> Cube | None:
    """float64[L, G] of a whole-population metric, or None where it is nowhere defined."""
    rows = metrics.loc[(metrics["metric"] == metric) & (metrics["class"] == "")]
    if "lineage" not in rows:
        rows = rows.assign(lineage=0)
    wide = rows.pivot(index="lineage", columns="generation", values=column)
    values = wide.reindex(columns=range(generations)).astype("Float64")
    found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return found if np.isfinite(found).any() else None


def _generations(where: tuple[int, ...]) -> str:
    if len(where) == 1:
        return f"generation {where[0]}"
    run = len(where) == where[-1] - where[0] + 1
    return f"generations {where[0]} to {where[-1]}" if run else f"{len(where)} generations"
