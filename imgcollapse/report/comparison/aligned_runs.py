"""Runs that can be compared, up to the last generation that all of them have reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from imgcollapse.core.errors import UserError
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.chart import COMMON_TO_RARE, INK, VARIABLES
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import RECORD, Run

# Okabe & Ito 2008, without yellow, which no white page shows; the baseline has the page's own ink.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^DvPX"


@dataclass(frozen=True)
class Arm:
    """One of the runs.

    Attributes:
        title: what a reader calls it.
        run: its folder.
        counts: its census, of the lineages that have come furthest.
        metrics: metrics.csv of these lineages.
        colour: of its lines, as #rrggbb.
        marker: of its points, so that no reader depends on colours.
    """

    title: str
    run: Run
    counts: CensusArrays
    metrics: pd.DataFrame
    colour: str
    marker: str

    @property
    def css(self) -> str:
        """Its colour on the page, which has inks for light and for dark."""
        return f"var({VARIABLES[INK]})" if self.colour == INK else self.colour

    @property
    def lineages(self) -> tuple[int, ...]:
        """Their numbers."""
        return self.counts.lineages

    def lineage(self, number: int) -> Lineage:
        """The lineage of that number."""
        return next(x for x in self.run.lineages if x.number == number)


@dataclass(frozen=True)
class Arms:
    """Runs of one set of classes.

    Attributes:
        all: the arms, the baseline first.
        last: the last generation that all have reached.
        rare: labels of the rarest third of the classes.
        waiting: titles of arms of which no model has been trained yet.
    """

    all: tuple[Arm, ...]
    last: int
    rare: tuple[int, ...]
    waiting: tuple[str, ...]

    @property
    def baseline(self) -> Arm:
        """The arm that the others are compared with."""
        return self.all[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """K names, common to rare."""
        return self.baseline.counts.classes

    @classmethod
    def of(cls, folders: Mapping[Path, str], baseline: str | None = None) -> Arms:
        """Read runs.

        Args:
            folders: run folders with their titles; one that has not begun may be missing.
            baseline: title, or name of the folder, of the arm to compare with; none is the first.

        Raises:
            UserError: a run cannot be read, no model has been trained yet, the runs have other
                classes, or no arm is called as the baseline is.
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
            _arm(title, run, colour, MARKERS[i % len(MARKERS)])
            for i, ((title, run), colour) in enumerate(
                zip(begun, _colours(len(begun)), strict=True)
            )
        )
        classes = found[0].counts.classes
        for arm in found:
            if arm.counts.classes != classes:
                raise UserError(
                    f"{arm.run.path}: its classes, from common to rare, are not those of "
                    f"{found[0].run.path}; compare runs of one set of classes"
                )
        k = len(classes)
        rare = tuple(range(k - max(1, k // 3), k))
        last = min(arm.counts.last for arm in found)
        return cls(found, last, rare, tuple(waiting))

    def paired(self, arm: Arm) -> bool:
        """Whether lineages of one number start from the same seed in an arm and the baseline."""
        seeds = {x.run.record["study"]["seed"] for x in (arm, self.baseline)}
        return len(seeds) == 1 and arm.lineages == self.baseline.lineages


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Settings in which two studies differ, such as "regime", "generator.steps"."""
    found = []
    for key in one:
        mine, theirs = one[key], other.get(key, {})
        if mine == theirs:
            continue
        both = isinstance(mine, Mapping) and isinstance(theirs, Mapping)
        if both and mine.get("kind") == theirs.get("kind"):
            found += [f"{key}.{x}" for x in mine if mine[x] != theirs.get(x)]
        else:
            found.append(key)
    return found


def titles(folders: Sequence[Path]) -> dict[Path, str]:
    """Run folders by name; with the folder above it where two have the same name."""
    names = [path.resolve().name for path in folders]
    return {
        path: name if names.count(name) == 1 else "/".join(path.resolve().parts[-2:])
        for path, name in zip(folders, names, strict=True)
    }


def _arm(title: str, run: Run, colour: str, marker: str) -> Arm:
    counts, metrics = CensusArrays.of(run), run.metrics
    if "lineage" in metrics:
        metrics = metrics.loc[metrics["lineage"].isin(counts.lineages)]
    return Arm(title, run, counts, metrics, colour, marker)


def _colours(arms: int) -> list[str]:
    if arms <= len(COLOURS) + 1:
        return [INK, *COLOURS][:arms]
    ramp = [to_hex(COMMON_TO_RARE(i / (arms - 2))) for i in range(arms - 1)]
    return [INK, *ramp]
