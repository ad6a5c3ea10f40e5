"""The results of the laws: a table for the terminal, an HTML page and a JSON file."""

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
from imgcollapse.report.charts import chart, label_ends, palette, to_svg
from imgcollapse.tools.validate.laws import Measurement, Plot, Result

NORMAL_95 = 1.96
"""Standard errors on either side of a point that an error bar shows: 95%."""


def table(results: Sequence[Result]) -> Table:
    """Table of laws: published value, theory, this program, standard error, deviation, verdict."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("law", min_width=18)
    for name in ("published", "theory", "here", "se", "z"):
        rows.add_column(name, justify="right")
    rows.add_column("verdict")
    for result in results:
        rows.add_row(Text(f"{result.id} {result.title}", style="bold"))
        if result.skipped is not None:
            rows.add_row(Text(result.skipped), *[""] * 5, "[yellow]skipped")
        for measurement in result.measurements:
            cells = (Text(cell) for cell in _cells(measurement))  # brackets are not markup
            mark = "[green]passed" if measurement.holds else "[bold red]FAILED"
            rows.add_row(*cells, mark)
        rows.add_section()
    return rows


def write(results: Sequence[Result], out: Path) -> Path:
    """Writes index.html and validation.json.

    Args:
        results: the laws that were tested.
        out: a folder, made if it is missing.

    Returns:
        The path of the page.

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
                {"cells": _cells(m), "holds": m.holds, "allowed": f"{m.allowed:.1f}"}
                for m in result.measurements
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
    """One sentence: the number of laws that hold, those that fail or were skipped, and the time."""
    by = {v: [r.id for r in results if r.verdict == v] for v in ("passed", "failed", "skipped")}
    parts = [f"{len(by['passed'])} of {len(results)} laws hold"]
    parts += [f"{', '.join(by[v])} {v}" for v in ("failed", "skipped") if by[v]]
    return f"{'; '.join(parts)}; {sum(r.seconds for r in results):.0f} s."


def draw(plot: Plot) -> str:
    """Draws a plot as SVG: theory as lines, this program as points with 95% error bars."""
    with chart(plot.title) as (figure, axes):
        if plot.log_x:
            _log(axes.xaxis, axes.set_xscale)
        if plot.log_y:
            _log(axes.yaxis, axes.set_yscale)
        axes.set_xlabel(plot.axis)
        ends = []
        for curve, color in zip(plot.curves, palette(len(plot.curves)), strict=True):
            line = curve.measured if curve.theory is None else curve.theory
            style = (0, (4, 3)) if curve.theory is None else "-"
            axes.plot(curve.x, line, color=color, linewidth=1.4, linestyle=style)
            axes.errorbar(
                curve.x,
                curve.measured,
                NORMAL_95 * curve.error,
                color=color,
                linestyle="",
                marker="o",
                markersize=3,
                elinewidth=1,
                capsize=2,
            )
            ends.append((float(line[-1]), curve.name, color))
        _limit_y(axes, plot)
        label_ends(axes, ends)
        names = ", ".join(curve.name for curve in plot.curves)
        return to_svg(figure, f"{plot.title}, by {plot.axis}: {names}.")


def _limit_y(axes: Axes, plot: Plot) -> None:
    """Starts the axis at 0, so that the noise around a constant is not magnified."""
    low, high = axes.get_ylim()
    if not plot.log_y and low >= 0 and high <= 1.02 and low < high / 2:
        axes.set_ylim(0, max(high, 0.1))


def _log(axis: Axis, set_scale: Any) -> None:
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _cells(measurement: Measurement) -> tuple[str, str, str, str, str, str]:
    if measurement.low == measurement.high:
        theory = f"{measurement.low:.4g}"
    elif math.isinf(measurement.high):
        theory = f"≥ {measurement.low:.4g}"
    else:
        theory = f"{measurement.low:.4g} to {measurement.high:.4g}"
    return (
        measurement.name,
        measurement.published or "",
        theory,
        f"{measurement.measured:.4g}",
        f"{measurement.error:.2g}",
        f"{measurement.deviation:+.1f}" if measurement.deviation else "0",
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
                    "what": m.name,
                    "published": m.published,
                    "low": _finite(m.low),
                    "high": _finite(m.high),
                    "here": m.measured,
                    "standard_error": m.error,
                    "deviation": _finite(m.deviation),
                    "allowed": m.allowed,
                    "holds": m.holds,
                }
                for m in result.measurements
            ],
        }
        for result in results
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
