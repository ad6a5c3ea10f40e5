"""Floors: each metric between two disjoint sets of real images, and the rows of metrics.csv."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from imgcollapse.core.estimate import Estimate, percentile_interval
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics.base import CHANCE, FLOOR, Estimates, Metric, MetricInfo, Row

Key = tuple[int | None, int]  # a class, or None for all of them, and n


class FloorCache:
    """Floors by class, n and metric, each computed once."""

    def __init__(self) -> None:
        self._found: dict[Key, dict[str, Estimate]] = {}

    def get(self, key: Key, metric: str, compute: Callable[[], Estimates]) -> Estimate | None:
        """The floor of a metric, if a halving defines it; `compute` gives all at this key."""
        found = self._found.setdefault(key, {})
        if metric not in found:
            found |= compute()
        return found.get(metric)

    def load(self, rows: Iterable[Row], features: str, labels: Mapping[str, int | None]) -> None:
        """Take over the floors in rows of metrics.csv that have these features and labels."""
        for row in rows:
            ours = row["features"] == features and row["class"] in labels
            if ours and row["metric"].endswith(FLOOR):
                known = self._found.setdefault((labels[row["class"]], row["n"]), {})
                value = Estimate(*(row[name] for name in Estimate._fields))
                known[row["metric"].removesuffix(FLOOR)] = value


def halvings(
    metrics: Sequence[tuple[Metric, Tensor]], n: int, seed: Seed, splits: int
) -> Estimates:
    """Floors by name: mean, 2.5% and 97.5% points over `splits` random halvings, n images a side.

    Each metric comes with the real images, in the form its `update` takes, all of one length.
    """
    found: dict[str, list[float]] = {}
    for metric, _ in metrics:
        metric.interval = metric.shuffle = False
    for split in range(splits):
        draw = (seed / n / split).torch()
        chosen = torch.randperm(len(metrics[0][1]), generator=draw)
        for metric, pool in metrics:
            one, other = (as_input(metric, pool[rows]) for rows in (chosen[:n], chosen[n : 2 * n]))
            # A metric of one set is that of the first half.
            sides = (one, other) if metric.two_sample else (other, one)
            for name, value in metric.between(*sides).items():
                if value.value is not None:
                    found.setdefault(name, []).append(value.value)
            metric.reset()
    return {
        name: percentile_interval(torch.tensor(values, dtype=torch.float64))
        for name, values in found.items()
    }


def as_input(metric: Metric | type[Metric], rows: Tensor) -> Tensor:
    """Rows as the metric takes them: uint8 pixels become float32 in [0, 1]."""
    return rows.float() / 255 if metric.inputs == "images" else rows


def rows_of(
    row: Row,
    infos: Iterable[MetricInfo],
    values: Estimates,
    floor: Callable[[str], Estimate | None],
    chance: Estimates | None = None,
) -> Iterator[Row]:
    """Rows of metrics.csv: each value, followed by its floor and its band under the null model.

    `row` has the columns that all share; `floor` is asked where a value is defined.
    """
    for info in infos:
        value = values[info.name]
        yield {**row, "metric": info.name} | value._asdict()
        if value.value is None:
            continue
        if info.has_floor and (real := floor(info.name)):
            yield {**row, "metric": info.name + FLOOR} | real._asdict()
        if chance and info.name in chance:
            yield {**row, "metric": info.name + CHANCE} | chance[info.name]._asdict()
