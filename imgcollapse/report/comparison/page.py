"""One HTML page over several runs: no network, no script, opens anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgcollapse.io import atomic, checksums
from imgcollapse.report.comparison import figures, samples, sentences
from imgcollapse.report.comparison.aligned_runs import Arm, Arms
from imgcollapse.report.comparison.citation import citation
from imgcollapse.report.comparison.differences import Difference, difference
from imgcollapse.report.comparison.measures import Measure, measures
from imgcollapse.report.comparison.survival_data import SurvivalData, survival_data
from imgcollapse.report.figure import side_by_side
from imgcollapse.report.formatting import listed, percent
from imgcollapse.report.series import interval_of_mean, mean
from imgcollapse.report.template import render

FLOORS = {"FID": "fid", "KID": "kid", "recall": "recall"}
"""Measures with a real-against-real floor, and the metric's name."""


def write_comparison(
    folders: Mapping[Path, str], out: Path, name: str, baseline: str | None = None
) -> Path:
    """Write one page over several runs.

    Args:
        folders: run folders with the titles of the arms; those without a model are only named.
        out: the page.
        name: its heading.
        baseline: the arm that the others are compared with; none is the first.

    Returns:
        Where the page is.

    Raises:
        UserError: the runs cannot be compared, or the page cannot be written.
    """
    arms = Arms.of(folders, baseline)
    page = render("comparison.html.j2", **_values(arms, name))
    atomic.make_folder(out.parent)
    checksums.write_page(out, page)
    return out


def _values(arms: Arms, name: str) -> dict[str, Any]:
    """Everything the template says."""
    shown, lives = measures(arms), survival_data(arms)
    gaps = {arm.title: _gaps(arms, arm, shown) for arm in arms.all[1:]}
    every = [gap for of_arm in gaps.values() for gap in of_arm.values()]
    panels = figures.panels(arms, shown[0])
    forests = [
        figures.forest(arms, measure, [of_arm[measure] for of_arm in gaps.values()])
        for measure in shown
        if gaps
    ]
    real = arms.baseline.counts.training / arms.baseline.counts.training.sum()
    return {
        "name": name,
        "baseline": arms.baseline.title,
        "last": arms.last,
        "rare": listed([arms.classes[k] for k in reversed(arms.rare)], most=6),
        "rare_real": percent(float(real[list(arms.rare)].sum())),
        "classes": len(arms.classes),
        "lineages": _lineages(arms),
        "several": max(len(arm.lineages) for arm in arms.all) > 1,
        "lead": _lead(arms, shown[0], list(gaps.values())),
        "warnings": sentences.warnings(arms),
        "arms": _arms(arms, gaps, lives),
        "charts": [figures.curves(arms, measure, FLOORS.get(measure.name)) for measure in shown],
        "survival": figures.survival(arms, lives),
        "bars": len(arms.all) > figures.MOST_BANDS,
        "panels": panels,
        "panels_figure": side_by_side("kept-by-arm", panels),
        "forests": forests,
        "forests_figure": side_by_side("differences", forests, columns=3) if forests else None,
        "intervals": sentences.intervals(every, len(arms.baseline.lineages)),
        "measures": [measure.title for measure in shown],
        "table": [_row(arms, arm, shown, gaps.get(arm.title)) for arm in arms.all],
        "aligned": samples.aligned(arms),
        "rarest": samples.rarest(arms),
        "same_noise": all(arms.paired(arm) for arm in arms.all),
        "cite": citation(name, arms),
        "made_with": arms.baseline.run.record["made_with"],
    }


def _gaps(arms: Arms, arm: Arm, shown: Sequence[Measure]) -> dict[Measure, Difference]:
    generations, paired = arms.last + 1, arms.paired(arm)
    return {
        measure: difference(
            measure.of(arm, generations)[:, arms.last],
            measure.of(arms.baseline, generations)[:, arms.last],
            paired,
        )
        for measure in shown
    }


def _arms(
    arms: Arms, gaps: Mapping[str, Mapping[Measure, Difference]], lives: Sequence[SurvivalData]
) -> list[dict[str, Any]]:
    """What is said of each arm."""
    said = []
    for arm, of_arm in zip(arms.all[1:], lives[1:], strict=True):
        test, of_gaps = of_arm.against(lives[0]), gaps[arm.title]
        said.append(
            {
                "title": arm.title,
                "colour": arm.css,
                "learned": sentences.learned(arms, arm, of_gaps, (of_arm, lives[0]), test),
                "unknown": sentences.unknown(arms, arm, of_gaps, test),
            }
        )
    return said


def _lead(arms: Arms, rare: Measure, gaps: Sequence[Mapping[Measure, Difference]]) -> str:
    """The result in one sentence or two."""
    when, base = f"in generation {arms.last}", arms.baseline.title
    end = mean(rare.of(arms.baseline, arms.last + 1))[arms.last]
    now = percent(float(end)) if np.isfinite(end) else "an undefined share"
    said = f"{base[:1].upper()}{base[1:]} keeps {now} of the rarest classes’ share {when}"
    if not gaps:
        return f"{said}."
    for sign, verb in ((1, "keep more"), (-1, "keep less")):
        names = [
            a.title for a, gap in zip(arms.all[1:], gaps, strict=True) if gap[rare].sign == sign
        ]
        if names:
            verb = verb.replace("keep", "keeps") if len(names) == 1 else verb
            said += f"; {listed(names, most=8)} {verb}"
    blurred = [a.title for a, gap in zip(arms.all[1:], gaps, strict=True) if not gap[rare].sign]
    if blurred:
        said += f"; {listed(blurred, most=8)} cannot be told apart from it"
    return f"{said}."


def _lineages(arms: Arms) -> str:
    counts = sorted({len(arm.lineages) for arm in arms.all})
    if counts == [1]:
        return "one lineage an arm"
    return f"{' to '.join(str(n) for n in (counts[0], counts[-1])[: len(counts)])} lineages an arm"


def _row(
    arms: Arms, arm: Arm, shown: Sequence[Measure], gaps: Mapping[Measure, Difference] | None
) -> dict[str, Any]:
    """One arm of the table: each measure with its interval, and its difference below."""
    cells = []
    for measure in shown:
        values = measure.of(arm, arms.last + 1)[:, [arms.last]]
        value, (low, high) = mean(values)[0], interval_of_mean(values)
        cell = {"value": "–", "interval": "", "gap": "", "sure": False}
        if np.isfinite(value):
            cell["value"] = measure.show(float(value))
        if np.isfinite(low[0]):
            cell["interval"] = f"{measure.show(float(low[0]))} to {measure.show(float(high[0]))}"
        if gaps and (gap := gaps[measure]).value is not None:
            cell["gap"] = measure.change(gap.value)
            cell["sure"] = gap.sign != 0
            if gap.low is not None and gap.high is not None:
                cell["gap"] += f" ({measure.change(gap.low)} to {measure.change(gap.high)})"
        cells.append(cell)
    return {"title": arm.title, "colour": arm.css, "baseline": gaps is None, "cells": cells}
