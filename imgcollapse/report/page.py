"""One HTML page over one run: no network, no script, opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic, checksums
from imgcollapse.report import curation, curves, distances, pictures, shares, survival, vocabulary
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.chart import palette
from imgcollapse.report.cite import citation
from imgcollapse.report.comparison import write_comparison
from imgcollapse.report.comparison.aligned_runs import titles
from imgcollapse.report.drift_test import DriftTest
from imgcollapse.report.figure import Figure, side_by_side
from imgcollapse.report.rows import class_rows, verdict_rows
from imgcollapse.report.summary import cautions, explained, headline, warnings
from imgcollapse.report.template import render
from imgcollapse.runs.run_dir import Run
from imgcollapse.sweeps import is_sweep, open_sweep

LARGEST_CONFUSION = 20
"""Classes that a confusion matrix is legible with."""


def write_report(
    runs: Sequence[Path | str], out: Path | str | None = None, baseline: str | None = None
) -> Path:
    """Write one page over one run, or one that compares several.

    Args:
        runs: run folders; a sweep's folder stands for all its arms.
        out: the page; none is report.html in the folder of a single run or sweep.
        baseline: of several, the one that the others are compared with; none is the first.

    Returns:
        Where the page is.

    Raises:
        UserError: a folder is no run, holds no generation yet, or the page cannot be written.
    """
    folders = [Path(run) for run in runs]
    if out is None and len(folders) != 1:
        raise UserError("--out: a page over several runs needs a name, such as --out report.html")
    name = (folders[0] if len(folders) == 1 else Path(out or "")).resolve()
    out = folders[0] / "report.html" if out is None else Path(out)
    if len(folders) > 1 or is_sweep(folders[0]):
        heading = name.name if len(folders) == 1 else name.stem
        return write_comparison(_arms(folders), out, heading, baseline)
    if baseline is not None:
        raise UserError("--baseline: one run has nothing to be compared with; name several")
    page = render("report.html.j2", run=_values(Run.open(folders[0])))
    atomic.make_folder(out.parent)
    checksums.write_page(out, page)
    return out


def _arms(folders: Sequence[Path]) -> dict[Path, str]:
    """Run folders with their titles: the arms of sweeps, and other runs by name."""
    found: dict[Path, str] = {}
    for path in folders:
        if is_sweep(path):
            found |= {path / arm: title for arm, title in open_sweep(path).items()}
        else:
            found[Run.open(path).path] = titles(folders)[path]
    return found


def _values(run: Run) -> dict[str, Any]:
    """Everything the template says."""
    counts, record = CensusArrays.of(run), run.record
    first = next(x for x in run.lineages if x.number == counts.lineages[0])
    try:
        verdict, silent = DriftTest.of(run, counts), ""
    except UserError as error:
        verdict, silent = None, str(error)
    metrics = run.metrics
    if "lineage" in metrics:
        metrics = metrics.loc[metrics["lineage"].isin(counts.lineages)]
    colours = palette(len(counts.classes))
    name, panels = run.path.resolve().name, shares.chance_panels(counts)
    survivals = [figure for _, figure in survival.survival_panels(counts, verdict)]
    return {
        "name": name,
        "headline": headline(counts),
        "explained": explained(verdict, counts) if verdict else [],
        "silent": silent,
        "cautions": cautions(counts, verdict),
        "warnings": warnings(run, counts),
        "remarks": record["data"]["remarks"],
        "facts": _facts(record, counts),
        "lineage": first.number,
        "grid": pictures.grid(first, counts),
        "panels": [
            {"figure": figure, "words": verdict.words(k) if verdict else ""} for k, figure in panels
        ],
        "panels_figure": side_by_side("chance", [figure for _, figure in panels]),
        "survival": survivals,
        "survival_figure": side_by_side("survival", survivals) if survivals else None,
        "charts": _charts(counts, verdict),
        "metrics": list(distances.metric_charts(metrics, counts.last + 1)),
        "undefined": distances.undefined_metrics(metrics),
        "kept": curation.section(run, counts, metrics),
        "words": vocabulary.section(run, counts, metrics),
        "lineages": len(counts.lineages),
        "last": counts.last,
        "classes": [
            row | {"colour": colour}
            for row, colour in zip(class_rows(counts), colours, strict=True)
        ],
        "verdicts": [
            row | {"colour": colour}
            for row, colour in zip(
                verdict_rows(counts, verdict) if verdict else [], colours, strict=False
            )
        ],
        "replicates": len(verdict.null.shares) if verdict else 0,
        "time_left": verdict is not None and verdict.left is not None,
        "samples": pictures.samples(first, counts),
        "oracle": _oracle(record),
        "made_with": record["made_with"] | _drifted(run) | {"began": record["started"]},
        "sha256": record["data"]["sha256"],
        "cite": citation(name, record),
    }


def _charts(counts: CensusArrays, verdict: DriftTest | None) -> list[Figure]:
    drawn = [
        shares.frequencies(counts),
        shares.stacked(counts),
        curves.diversity(counts, verdict),
        curves.classes_detected(counts, verdict),
        curves.inbreeding(verdict) if verdict else None,
    ]
    return [figure for figure in drawn if figure]


def _facts(record: dict[str, Any], counts: CensusArrays) -> list[tuple[str, str]]:
    study = record["study"]
    channels, height, width = record["shape"]
    done = "" if counts.last == study["generations"] else f", {counts.last} done"
    complete = "" if len(counts.lineages) == study["lineages"] else f", {len(counts.lineages)} done"
    return [
        ("images", f"{study['data']['kind']}, {width} × {height}, {_colour(channels)}"),
        ("imbalance", study["longtail"]["kind"]),
        ("generator", study["generator"]["kind"]),
        ("regime", study["regime"]["kind"]),
        ("generations", f"{study['generations']}{done}"),
        ("lineages", f"{study['lineages']}{complete}"),
        ("real training images", f"{counts.training.sum():,}"),
        ("samples a generation", f"{counts.n[0, counts.last]:,.0f}"),
        ("seed", str(study["seed"])),
    ]


def _drifted(run: Run) -> dict[str, str]:
    """What the run went on with that it had not begun with, by when it did."""
    return {
        f"since {drift['when']}": ", ".join(f"{name} {to}" for name, to in drift["to"].items())
        for drift in run.environment_changes
    }


def _colour(channels: int) -> str:
    return "grey" if channels == 1 else "colour"


def _oracle(record: dict[str, Any]) -> dict[str, Any]:
    """Held-out accuracy, and the confusion matrix or the commonest mistakes."""
    oracle, names = record["oracle"], record["classes"]
    confusion = np.asarray(oracle["confusion"], dtype=np.float64)
    rates = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    mistakes = rates * (1 - np.eye(len(names)))
    worst = [divmod(int(at), len(names)) for at in (-mistakes).argsort(axis=None, kind="stable")]
    return {
        "accuracy": oracle["accuracy"],
        "held_out": oracle["held_out"],
        "recognised": oracle["recognised"],
        "matrix": (
            list(zip(names, rates.tolist(), strict=True)) if len(names) <= LARGEST_CONFUSION else []
        ),
        "mistakes": [
            (names[true], names[answered], rates[true, answered])
            for true, answered in worst[:10]
            if mistakes[true, answered] > 0
        ],
    }
