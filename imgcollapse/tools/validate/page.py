"""The results of the laws: an HTML page and a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from imgcollapse.io import atomic
from imgcollapse.report.charts import chart, label_ends, palette, to_svg
from imgcollapse.report.page import template
from imgcollapse.tools.validate.laws import Measurement, Plot, Result

NORMAL_95 = 1.96
"""Standard errors on either side of a point that an error bar shows: 95%."""


def write(results: Sequence[Result], out: Path) -> Path:
    """Writes index.html, whose path is returned, and validation.json to a folder.

    Raises:
        UserError: the folder cannot be written to.
    """
    atomic.make_folder(out)
    record = json.dumps([_record(result) for result in results], indent=1)
    atomic.write_bytes(out / "validation.json", record.encode())
    laws = [
        {
            "result": result,
            "rows": [(cells(m), m) for m in result.measurements],
            "plots": [Markup(draw(plot)) for plot in result.plots],  # noqa: S704 (our SVG)
        }
        for result in results
    ]
    page = template("validation.html.j2", "imgcollapse.tools.validate")
    html = page.render(laws=laws, summary=summary(results))
    atomic.write_bytes(out / "index.html", html.encode())
    return out / "index.html"


def summary(results: Sequence[Result]) -> str:
    """One sentence: the number of laws that hold, those that fail or were skipped, and the time."""
    by = {v: [r.law.id for r in results if r.verdict == v] for v in ("passed", "failed", "skipped")}
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
            bars = {"elinewidth": 1, "capsize": 2, "color": color}
            points = {"linestyle": "", "marker": "o", "markersize": 3}
            axes.errorbar(curve.x, curve.measured, NORMAL_95 * curve.error, **points, **bars)
            ends.append((float(line[-1]), curve.name, color))
        low, high = axes.get_ylim()
        if not plot.log_y and 0 <= low < high / 2 and high <= 1.02:
            axes.set_ylim(0, max(high, 0.1))  # so that noise around a constant is not magnified
        label_ends(axes, ends)
        names = ", ".join(curve.name for curve in plot.curves)
        return to_svg(figure, f"{plot.title}, by {plot.axis}: {names}.")


def _log(axis: Axis, set_scale: Any) -> None:
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def cells(measurement: Measurement) -> tuple[str, ...]:
    """Name, published value, theory, this program's value, standard error and deviation."""
    low, high = measurement.low, measurement.high
    theory = f"{low:.4g}"
    if math.isinf(high):
        theory = f"≥ {low:.4g}"
    elif low != high:
        theory = f"{low:.4g} to {high:.4g}"
    return (
        measurement.name,
        measurement.published or "",
        theory,
        f"{measurement.measured:.4g}",
        f"{measurement.error:.2g}",
        f"{measurement.deviation:+.1f}" if measurement.deviation else "0",
    )


def _record(result: Result) -> dict[str, Any]:
    return {
        "law": result.law.id,
        "title": result.law.title,
        "source": result.law.source,
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
