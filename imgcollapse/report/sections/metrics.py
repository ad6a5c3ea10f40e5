"""Section "Distance to real images": every metric over generations, beside real against real."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter

from imgcollapse.metrics import MetricInfo
from imgcollapse.report.arrays import FloatArray, mean, series, tidy
from imgcollapse.report.charts import (
    ACCENT,
    GREY,
    SECOND,
    Figure,
    chance_band,
    chart,
    floor_band,
    label_ends,
    legend,
    lines,
    palette,
    span,
)
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import percent
from imgcollapse.report.section import Block, Charts, Section, Text


class Metrics(Section):
    """The metrics of the whole population over generations."""

    name, runs = "metrics", "one"
    heading = "Distance to real images"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """A chart for each title in the registry that has a value, and why others have none."""
        run = data.run
        infos = [info for info in run.metric_infos if info.section == "metrics"]
        charts = list(metric_charts(run.metrics, infos, run.census.last + 1))
        undefined = undefined_metrics(run.metrics)
        if not charts and not undefined:
            return []
        said = (
            "Against held-out real images, at equal numbers on both sides; dotted edges mark what "
            "two sets of real images of that size give, the floor. A memorized sample is nearer to "
            "a training image than held-out real images are."
        )
        found: list[Block] = [Text(said), Charts(charts)]
        return [*found, Text(f"Undefined: {' '.join(undefined)}")] if undefined else found


def metric_charts(
    metrics: pd.DataFrame, infos: Sequence[MetricInfo], generations: int
) -> Iterator[Figure]:
    """A chart for each title of the metrics that has a value, with intervals and bands.

    Args:
        metrics: rows of metrics.csv.
        infos: the metrics; those without a title have no chart.
        generations: how many there are.
    """
    by_title: dict[str, dict[MetricInfo, FloatArray]] = {}
    for info in infos:
        values = _series(metrics, info, info.name, "value", generations)
        if info.title and values is not None:
            by_title.setdefault(info.title, {})[info] = values
    for title, found in by_title.items():
        yield _metric_chart(metrics, title, found)


def _metric_chart(metrics: pd.DataFrame, title: str, found: dict[MetricInfo, FloatArray]) -> Figure:
    labels, bands, tables, ends = len(found) > 1, {}, [], []
    floors = [info for info in found if info.has_floor and info.draws_floor]
    if len(found) == 1:
        title = next(iter(found)).own_title or title
    colors = [ACCENT, SECOND] if len(found) <= 2 else palette(len(found))
    with chart(title, labeled=labels) as (figure, axes):
        for (info, values), color in zip(found.items(), colors, strict=False):
            generations = values.shape[1]
            low, high, *sides = (
                _series(metrics, info, info.name + of, end, generations)
                for of in ("", "_chance", "_floor")
                for end in ("low", "high")
            )
            names = ("chance_low", "chance_high", "floor_low", "floor_high")
            beside = {
                name: mean(end) for name, end in zip(names, sides, strict=True) if end is not None
            }
            if {"chance_low", "chance_high"} <= set(beside):
                chance_band(axes, beside["chance_low"], beside["chance_high"])
                bands["dashed: drift alone, 95% of lineages"] = True
            if info in floors and {"floor_low", "floor_high"} <= set(beside):
                shade = color if len(floors) > 1 else GREY
                floor_band(axes, beside["floor_low"], beside["floor_high"], shade)
                bands["dotted: real against real, 95%"] = True
            nothing = np.full_like(values, np.nan)
            low, high = (nothing if end is None else end for end in (low, high))
            lines(axes, values, low, high, color)
            table = tidy(_lineages(metrics), "value", values, low, high, **beside)
            table.insert(list(table).index("value"), "metric", info.name)
            tables.append(table)
            last = mean(values)[np.isfinite(mean(values))][-1]
            ends.append((float(last), info.label, color))
        if all(info.full_axis for info in found):
            axes.set_ylim(_limits(found)[0], _limits(found)[1] * 1.02)
        else:
            if min(float(np.nanmin(values)) for values in found.values()) >= 0:
                axes.set_ylim(bottom=0)
            if all(info.limits == (0, 1) for info in found):
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        span(axes, max(values.shape[1] for values in found.values()) - 1)
        if labels:
            label_ends(axes, ends)
        legend(axes, "; ".join(bands))
        names_shown = {info: info.label if labels else "" for info in found}
        said = "; ".join(_in_words(names_shown[info], values) for info, values in found.items())
        floor = _floor_in_words(names_shown[next(iter(found))], tables[0])
        alt = f"{title} by generation: {said}{floor}."
        name = "-".join(info.name for info in found)
        return Figure.drawn(figure, name, alt, pd.concat(tables))


def _limits(infos: Iterable[MetricInfo]) -> tuple[float, float]:
    """The smallest and the largest value that any of the metrics can have."""
    infos = list(infos)
    return min(x.limits[0] for x in infos), max(x.limits[1] for x in infos)


def _series(
    metrics: pd.DataFrame, info: MetricInfo, name: str, column: str, generations: int
) -> FloatArray | None:
    """A column of a metric, without generation 0 where that is not drawn."""
    if not info.shows_real:
        metrics = metrics.loc[metrics["generation"] > 0]
    return series(metrics, name, column, generations)


def _in_words(label: str, values: FloatArray) -> str:
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


def _generations(where: tuple[int, ...]) -> str:
    if len(where) == 1:
        return f"generation {where[0]}"
    run = len(where) == where[-1] - where[0] + 1
    return f"generations {where[0]} to {where[-1]}" if run else f"{len(where)} generations"
