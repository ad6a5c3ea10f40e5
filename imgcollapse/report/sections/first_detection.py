"""Section "Which noticed first?": the generation in which the census and metrics see a change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imgcollapse.metrics import MetricInfo
from imgcollapse.report.arrays import CensusArrays, series
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.formatting import listed
from imgcollapse.report.section import Block, Column, Section, Table, TableRow, Text

NEVER = -1


class FirstDetection(Section):
    """In which generation the census and each metric with a rule for it first see a change."""

    name, runs = "noticed", "one"
    heading = "Classes, words, pixels: which noticed first?"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """One sentence and a table; none where no such metric was measured."""
        run, last = data.run, data.run.census.last
        infos = [
            info for info in run.metric_infos if info.sentinel and _has(run.metrics, info.name)
        ]
        if not infos:
            return []
        rules = first_detections(run, infos)
        said = sentence({name: when for name, (_, when) in rules.items()}, last)
        rows = [
            TableRow([name, rule, _in_words(when, last)]) for name, (rule, when) in rules.items()
        ]
        columns = [Column("reading"), Column("notices where"), Column("first")]
        fair = (
            f"Not quite a fair race: the census looks at {len(run.census.classes)} classes, so "
            "that only one that drift alone does not explain in the whole run counts; and a floor "
            "is of two sets of fresh real images, so that a metric beside it notices the work of "
            "drift too."
        )
        return [Text(said, style=""), Table("Which noticed first?", columns, rows), Text(fair)]


def first_detections(
    run: ReportedRun, infos: Sequence[MetricInfo]
) -> dict[str, tuple[str, NDArray[np.int64]]]:
    """By name the rule, and the first generation that it holds in: int64[L], -1 for none.

    The census notices classes alone that the test against drift finds: of many classes some leave
    their band by luck.
    """
    census, metrics = run.census, run.metrics
    # What is not defined is not outside.
    outside = (census.high < census.drift_low) | (census.low > census.drift_high)
    rule = "a class's interval lies outside the band of drift alone"
    if run.drift_test:
        outside &= run.drift_test.unexplained
        rule += ", and drift alone does not explain the class"
    found = {"the census": (rule, first(np.any(outside, axis=2)))}
    for info in infos:
        chance = info.sentinel == "outside-chance" and _has(metrics, f"{info.name}_chance")
        low, high = _interval(metrics, info.name, census)
        side = f"{info.name}_chance" if chance else f"{info.name}_floor"
        least, most = _interval(metrics, side, census)
        above = low > most
        if info.sentinel == "above-floor":
            notices, rule = above, "its interval lies above its floor"
        else:
            notices = above | (high < least)
            rule = (
                f"its interval lies outside {'the band of drift alone' if chance else 'its floor'}"
            )
        name = f"the {info.label}" if info.label[:1].islower() else info.label
        found[name] = rule, first(notices)
    return found


def first(notices: NDArray[np.bool_]) -> NDArray[np.int64]:
    """bool[L, G] => the first generation from 1 on in which it notices: int64[L]; -1 for none."""
    later = notices[:, 1:]
    if not later.shape[1]:
        return np.full(len(notices), NEVER)
    return np.where(later.any(axis=1), later.argmax(axis=1) + 1, NEVER)


def sentence(firsts: dict[str, NDArray[np.int64]], last: int) -> str:
    """Sentence on the measure that noticed first; `firsts` are int64[L] by name."""
    if last == 0:
        return "No model has been trained yet, so there is nothing to notice."
    when = np.stack(list(firsts.values()))
    names, lineages = list(firsts), when.shape[1]
    earliest = np.where(when == NEVER, last + 1, when)
    ahead = (earliest == earliest.min(axis=0)) & (when != NEVER)
    if not ahead.any():
        return f"None of them notices anything in {_generations(last)}."
    if lineages == 1:
        leads = [name for name, is_ahead in zip(names, ahead[:, 0], strict=True) if is_ahead]
        verb = "notices" if len(leads) == 1 else "notice"
        parts = [f"{listed(leads)} {verb} first, in generation {earliest[:, 0].min()}"]
        later = [i for i in earliest[:, 0].argsort(kind="stable") if not ahead[i, 0]]
        silent = [names[i] for i in later if when[i, 0] == NEVER]
        parts += [f"{names[i]} in {when[i, 0]}" for i in later if when[i, 0] != NEVER]
        if silent:
            parts.append(f"{listed(silent)} {'does' if len(silent) == 1 else 'do'} not")
        text = "; ".join(parts) + "."
    else:
        parts = [f"{name} in {n}" for name, n in zip(names, ahead.sum(axis=1), strict=True)]
        none = int((~ahead.any(axis=0)).sum())
        text = f"of {lineages} lineages, first to notice, or among the first, is {listed(parts)}"
        text += f"; in {none} none of them notices anything." if none else "."
    return text[0].upper() + text[1:]


def _interval(
    metrics: pd.DataFrame, metric: str, census: CensusArrays
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends, float64[L, G]; a value that nothing varied about is its own interval."""
    shape = len(census.lineages), census.last + 1
    value, low, high = (
        np.full(shape, np.nan) if found is None else found
        for found in (series(metrics, metric, end, shape[1]) for end in ("value", "low", "high"))
    )
    return np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def _has(metrics: pd.DataFrame, metric: str) -> bool:
    return bool((metrics["metric"] == metric).any())


def _in_words(when: NDArray[np.int64], last: int) -> str:
    seen = when[when != NEVER]
    if not len(seen):
        return f"not in {_generations(last)}"
    ends = sorted({int(seen.min()), int(seen.max())})
    said = "generation " + " to ".join(str(g) for g in ends)
    return said if len(when) == 1 else f"{said}, in {len(seen)} of {len(when)} lineages"


def _generations(last: int) -> str:
    return f"{last} generation{'' if last == 1 else 's'}"
