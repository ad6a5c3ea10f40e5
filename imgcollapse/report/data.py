"""Data of the page: its runs, each with its census, metrics and test against chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.colors import to_hex
from pydantic import ValidationError

from imgcollapse.core.errors import UserError
from imgcollapse.metrics import MetricInfo, MetricSettings, metric_infos
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.chart import COMMON_TO_RARE, INK, VARIABLES
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import RECORD, Run

# Okabe & Ito 2008, without yellow, which no white page shows; the baseline has the page's own ink.
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^DvPX"


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """One of the runs of a page.

    Attributes:
        title: its name on the page.
        run: its folder.
        census: of the lineages that have come furthest.
        metrics: metrics.csv of these lineages.
        color: of its lines, as #rrggbb.
        marker: of its points, so that no reader depends on colors.
    """

    title: str
    run: Run
    census: CensusArrays
    metrics: pd.DataFrame
    color: str
    marker: str

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

    @cached_property
    def drift_test(self) -> DriftTest | None:
        """The test against chance alone; None where there is nothing to test."""
        try:
            return DriftTest.of(self.run, self.census)
        except UserError:
            return None

    @property
    def untested_reason(self) -> str:
        """Why there is no test against chance; empty where there is one."""
        if self.drift_test:
            return ""
        try:
            DriftTest.of(self.run, self.census)
        except UserError as error:
            return str(error)
        return ""

    @cached_property
    def metric_infos(self) -> tuple[MetricInfo, ...]:
        """Descriptions of the metrics in metrics.csv, in display order.

        A metric that is not registered here, such as one of a package that is not installed, is
        described by its name alone.
        """
        study = self.run.record["study"]
        try:
            known = metric_infos(MetricSettings.model_validate(study.get("metrics", {})))
        except (ValidationError, UserError):
            known = metric_infos(MetricSettings())
        names = {info.name for info in known}
        beside = tuple(f"{part['kind']}_" for part in study.get("curation", ()))
        found = self.metrics["metric"].unique().tolist() if len(self.metrics) else []
        other = [
            MetricInfo(name, name, title=name)
            for name in found
            if name not in names
            and not name.endswith(("_floor", "_chance"))
            and not name.startswith(beside or "\0")
        ]
        return (*known, *other)


@dataclass(frozen=True, eq=False)
class PageData:
    """Runs of one set of classes.

    Attributes:
        name: heading of the page.
        runs: the runs, the baseline first.
        several: whether the page compares runs, if only one of them has begun.
        last: the last generation that all have reached.
        waiting: titles of runs of which no model has been trained yet.
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
        """Read one run, which may have no model yet.

        Raises:
            UserError: it cannot be read, or holds no generation.
        """
        run = Run.open(folder)
        found = _reported(run.path.resolve().name, run, INK, MARKERS[0])
        return cls(found.title, (found,), several=False, last=found.census.last)

    @classmethod
    def of_several(
        cls, name: str, folders: Mapping[Path, str], baseline: str | None = None
    ) -> PageData:
        """Read runs to compare.

        Args:
            name: heading of the page.
            folders: run folders with their titles; one that has not begun may be missing.
            baseline: title, or name of the folder, of the run to compare with; none is the first.

        Raises:
            UserError: a run cannot be read, no model has been trained yet, the runs have other
                classes, or no run is called as the baseline is.
        """
        order = list(folders)
        if baseline is not None:
            named = [p for p in order if baseline in (folders[p], p.resolve().name)]
            if not named:
                raise UserError(
                    f"--baseline: no arm is called {baseline!r}; it may be one of "
                    f"{', '.join(folders.values())}"
                )
            order.sort(key=lambda path: path != named[0])
        begun: list[tuple[str, Run]] = []
        waiting: list[str] = []
        for path in order:
            run = Run.open(path) if (path / RECORD).is_file() else None
            if run and any(lineage.generations > 1 for lineage in run.lineages):
                begun.append((folders[path], run))
            else:
                waiting.append(folders[path])
        if not begun:
            raise UserError(
                f"{order[0]}: no model has been trained yet; run the studies, then report"
            )
        found = tuple(
            _reported(title, run, color, MARKERS[i % len(MARKERS)])
            for i, ((title, run), color) in enumerate(zip(begun, _colors(len(begun)), strict=True))
        )
        for other in found:
            if other.census.classes != found[0].census.classes:
                raise UserError(
                    f"{other.run.path}: its classes, from common to rare, are not those of "
                    f"{found[0].run.path}; compare runs of one set of classes"
                )
        last = min(run.census.last for run in found)
        return cls(name, found, several=True, last=last, waiting=tuple(waiting))

    def paired(self, run: ReportedRun) -> bool:
        """Whether lineages of one number start from the same seed in a run and the baseline."""
        seeds = {x.run.record["study"]["seed"] for x in (run, self.run)}
        return len(seeds) == 1 and run.lineages == self.run.lineages


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
