"""What came of the laws: a table for the terminal, a page to look at, and a file for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from rich import box
from rich.table import Table
from rich.text import Text

from imgcollapse.io import atomic
from imgcollapse.report.chart import chart, label_ends, palette, to_svg
from imgcollapse.tools.validate.laws import Measurement, Plot
from imgcollapse.tools.validate.result import Result

SURE = 1.96
"""Standard errors on either side that error bars show: 95%."""


def table(results: Sequence[Result]) -> Table:
    """Law, published value, theory, this program, standard error, deviation and verdict."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("law", min_width=18)
    for name in ("published", "theory", "here", "se", "z"):
        rows.add_column(name, justify="right")
    rows.add_column("verdict")
    for result in results:
        rows.add_row(Text(f"{result.id} {result.title}", style="bold"))
        if result.skipped is not None:
            rows.add_row(Text(result.skipped), *[""] * 5, "[yellow]skipped")
        for finding in result.findings:
            cells = (Text(cell) for cell in _cells(finding))  # brackets are not markup
            mark = "[green]passed" if finding.holds else "[bold red]FAILED"
            rows.add_row(*cells, mark)
        rows.add_section()
    return rows


def write(results: Sequence[Result], out: Path) -> Path:
    """Write index.html and validation.json.

    Args:
        results: the laws that were tested.
        out: a folder, made where it is missing.

    Returns:
        Where the page is.

    Raises:
        UserError: the folder cannot be written to.
    """
    atomic.make_folder(out)
    atomic.write_bytes(out / "validation.json", json.dumps(_record(results), indent=1).encode())
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("imgcollapse.tools.validate"), PackageLoader("imgcollapse.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    laws = [
        {
            "id": result.id,
            "title": result.title,
            "source": result.source,
            "verdict": result.verdict,
            "skipped": result.skipped,
            "seconds": f"{result.seconds:.0f}",
            "rows": [
                {"cells": _cells(f), "holds": f.holds, "allowed": f"{f.allowed:.1f}"}
                for f in result.findings
            ],
            "plots": [Markup(draw(plot)) for plot in result.plots],  # noqa: S704 (our SVG)
        }
        for result in results
    ]
    page = environment.get_template("validation.html.j2").render(
        laws=laws, summary=summary(results)
    )
    atomic.write_bytes(out / "index.html", page.encode())
    return out / "index.html"


def summary(results: Sequence[Result]) -> str:
    """One sentence: how many laws hold, which fail, which were not tested, and the time."""
    by = {v: [r.id for r in results if r.verdict == v] for v in ("passed", "failed", "skipped")}
    parts = [f"{len(by['passed'])} of {len(results)} laws hold"]
    parts += [f"{', '.join(by[v])} {v}" for v in ("failed", "skipped") if by[v]]
    return f"{'; '.join(parts)}; {sum(r.seconds for r in results):.0f} s."


def draw(plot: Plot) -> str:
    """A plot as SVG: theory as lines, this program as points with 95% error bars."""
    with chart(plot.title) as (figure, axes):
        if plot.log_x:
            _log(axes.xaxis, axes.set_xscale)
        if plot.log_y:
            _log(axes.yaxis, axes.set_yscale)
        axes.set_xlabel(plot.axis)
        ends = []
        for curve, colour in zip(plot.curves, palette(len(plot.curves)), strict=True):
            line = curve.here if curve.theory is None else curve.theory
            style = (0, (4, 3)) if curve.theory is None else "-"
            axes.plot(curve.x, line, color=colour, linewidth=1.4, linestyle=style)
            axes.errorbar(
                curve.x,
                curve.here,
                SURE * curve.error,
                color=colour,
                linestyle="",
                marker="o",
                markersize=3,
                elinewidth=1,
                capsize=2,
            )
            ends.append((float(line[-1]), curve.name, colour))
        _room(axes, plot)
        label_ends(axes, ends)
        names = ", ".join(curve.name for curve in plot.curves)
        return to_svg(figure, f"{plot.title}, by {plot.axis}: {names}.")


def _room(axes: Axes, plot: Plot) -> None:
    """Keep a constant theory from being magnified into noise."""
    low, high = axes.get_ylim()
    if not plot.log_y and low >= 0 and high <= 1.02 and low < high / 2:
        axes.set_ylim(0, max(high, 0.1))


def _log(axis: Axis, set_scale: Any) -> None:
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _cells(finding: Measurement) -> tuple[str, str, str, str, str, str]:
    if finding.low == finding.high:
        theory = f"{finding.low:.4g}"
    elif math.isinf(finding.high):
        theory = f"≥ {finding.low:.4g}"
    else:
        theory = f"{finding.low:.4g} to {finding.high:.4g}"
    return (
        finding.what,
        finding.published or "",
        theory,
        f"{finding.here:.4g}",
        f"{finding.error:.2g}",
        f"{finding.deviation:+.1f}" if finding.deviation else "0",
    )


def _record(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "law": result.id,
            "title": result.title,
            "source": result.source,
            "verdict": result.verdict,
            "skipped": result.skipped,
            "seconds": round(result.seconds, 1),
            "findings": [
                {
                    "what": f.what,
                    "published": f.published,
                    "low": _finite(f.low),
                    "high": _finite(f.high),
                    "here": f.here,
                    "standard_error": f.error,
                    "deviation": _finite(f.deviation),
                    "allowed": f.allowed,
                    "holds": f.holds,
                }
                for f in result.findings
            ],
        }
        for result in results
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
