"""Data of the page: its runs, each with its census, metrics and test against drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from imgcollapse.core.errors import UserError
from imgcollapse.metrics import MetricInfo, MetricSettings, metric_infos
from imgcollapse.metrics.registry import import_metric
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.charts import COMMON_TO_RARE, INK, VARIABLES
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import RECORD, Run

# Okabe & Ito 2008, without yellow, which no white page shows; the baseline has the page's own ink.
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^DvPX"


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """One of the runs of a page, with the census and metrics of the lineages that are furthest.

    `color` of its lines is #rrggbb; by the marker of its points no reader depends on colors.
    """

    title: str
    run: Run
    census: CensusArrays
    metrics: pd.DataFrame
    color: str
    marker: str

    @property
    def study(self) -> dict[str, Any]:
        """Its settings as run.json has them."""
        return self.run.record["study"]

    @property
    def css(self) -> str:
        """Its color on the page, which has inks for light and for dark."""
        return f"var({VARIABLES[INK]})" if self.color == INK else self.color

    @property
    def lineages(self) -> tuple[int, ...]:
        """Their numbers."""
        return self.census.lineages

    def lineage(self, number: int) -> Lineage:
        """The lineage of that number."""
        return next(x for x in self.run.lineages if x.number == number)

    @property
    def drift_test(self) -> DriftTest | None:
        """The test against drift alone; None where there is nothing to test."""
        return None if isinstance(self._tested, str) else self._tested

    @property
    def untested_reason(self) -> str:
        """Why there is no test against drift alone; empty where there is one."""
        return self._tested if isinstance(self._tested, str) else ""

    @cached_property
    def _tested(self) -> DriftTest | str:
        try:
            return DriftTest.of(self.run, self.census)
        except UserError as error:
            return str(error)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Why metrics of one's own that the study names cannot be described, by import path."""
        found = {}
        for path in self.study.get("metrics", {}).get("also", ()):
            try:
                import_metric(path)
            except PydanticCustomError as error:
                found[path] = f"metric {path}: {error}"
        return found

    @cached_property
    def metric_infos(self) -> tuple[MetricInfo, ...]:
        """Descriptions of the metrics in metrics.csv, in display order.

        A metric that is not known here, such as one of a package that is not installed, is
        described by its name alone.
        """
        settings = self.study.get("metrics", {})
        also = [path for path in settings.get("also", ()) if path not in self.left_out]
        try:
            known = metric_infos(MetricSettings.model_validate({**settings, "also": also}))
        except (ValidationError, UserError):
            known = metric_infos(MetricSettings())
        names = {info.name for info in known}
        filters = tuple(f"{part['kind']}_" for part in self.study.get("curation", ()))
        found = self.metrics["metric"].unique().tolist() if len(self.metrics) else []
        other = [
            MetricInfo(name, name, title=name)
            for name in found
            if name not in names
            and not name.endswith(("_floor", "_chance"))
            and not name.startswith(filters or "\0")
        ]
        return (*known, *other)


@dataclass(frozen=True, eq=False)
class PageData:
    """Runs of one set of classes, the baseline first.

    `several` says whether the page compares runs, if only one of them has begun; `last` is the
    last generation that all have reached, and `waiting` names runs without a model yet.
    """

    name: str
    runs: tuple[ReportedRun, ...]
    several: bool
    last: int
    waiting: tuple[str, ...] = ()

    @property
    def run(self) -> ReportedRun:
        """The run of a page over one; of several the baseline that others are compared with."""
        return self.runs[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """K names, common to rare."""
        return self.run.census.classes

    @property
    def rare(self) -> tuple[int, ...]:
        """Labels of the rarest third of the classes."""
        k = len(self.classes)
        return tuple(range(k - max(1, k // 3), k))

    @classmethod
    def of_one(cls, folder: Path) -> PageData:
        """Read one run, which may have no model yet; one without a generation is refused."""
        run = Run.open(folder)
        found = _reported(run.path.resolve().name, run, INK, MARKERS[0])
        return cls(found.title, (found,), several=False, last=found.census.last)

    @classmethod
    def of_several(
        cls, name: str, folders: Mapping[Path, str], baseline: str | None = None
    ) -> PageData:
        """Read runs to compare, from their folders with titles; one that has not begun may miss.

        `baseline` is title, or name of the folder, of the run to compare with; none is the first.

        Raises:
            UserError: a run cannot be read, no model has been trained yet, the runs have other
                classes, or no run is called as the baseline is.
        """
        order = list(folders)
        if baseline is not None:
            named = [p for p in order if baseline in (folders[p], p.resolve().name)]
            if not named:
                arms = ", ".join(folders.values())
                raise UserError(
                    f"--baseline: no arm is called {baseline!r}; it may be one of {arms}"
                )
            order.sort(key=lambda path: path != named[0])
        opened = {path: Run.open(path) for path in order if (path / RECORD).is_file()}
        begun = [at for at, run in opened.items() if any(x.generations > 1 for x in run.lineages)]
        if not begun:
            raise UserError(
                f"{order[0]}: no model has been trained yet; run the studies, then report"
            )
        marks = zip(begun, _colors(len(begun)), cycle(MARKERS), strict=False)
        found = tuple(_reported(folders[at], opened[at], color, mark) for at, color, mark in marks)
        for other in found:
            if other.census.classes != found[0].census.classes:
                raise UserError(
                    f"{other.run.path}: its classes, from common to rare, are not those of "
                    f"{found[0].run.path}; compare runs of one set of classes"
                )
        last = min(run.census.last for run in found)
        waiting = tuple(folders[path] for path in order if path not in begun)
        return cls(name, found, several=True, last=last, waiting=waiting)

    def paired(self, run: ReportedRun) -> bool:
        """Whether lineages of one number start from the same seed in a run and the baseline."""
        same_seed = run.study["seed"] == self.run.study["seed"]
        return same_seed and run.lineages == self.run.lineages


def titles(folders: Sequence[Path]) -> dict[Path, str]:
    """Run folders by name; with the folder above it where two have the same name."""
    names = [path.resolve().name for path in folders]
    return {
        path: name if names.count(name) == 1 else "/".join(path.resolve().parts[-2:])
        for path, name in zip(folders, names, strict=True)
    }


def _reported(title: str, run: Run, color: str, marker: str) -> ReportedRun:
    census, metrics = CensusArrays.of(run), run.metrics
    if "lineage" in metrics:
        metrics = metrics.loc[metrics["lineage"].isin(census.lineages)]
    return ReportedRun(title, run, census, metrics, color, marker)


def _colors(runs: int) -> list[str]:
    if runs <= len(COLORS) + 1:
        return [INK, *COLORS][:runs]
    ramp = [to_hex(COMMON_TO_RARE(i / (runs - 2))) for i in range(runs - 1)]
    return [INK, *ramp]
