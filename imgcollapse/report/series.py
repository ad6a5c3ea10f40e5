"""How a value over generations is drawn: for one lineage or several, beside what chance gives."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy.special import stdtrit

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.chart import GREY, MUTED

ACCENT = "#3b78b8"


def mean(values: Cube) -> Cube:
    """Mean over lineages, float64[L, ...] => [...]; NaN where none is defined."""
    there = np.isfinite(values)
    total, count = np.where(there, values, 0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def interval_of_mean(values: Cube) -> tuple[Cube, Cube]:
    """95% interval of the mean over L lineages by Student's t: float64[L, G] => [G] both.

    NaN where fewer than two lineages are defined.
    """
    there = np.isfinite(values)
    n, centre = there.sum(axis=0), mean(values)
    squares = np.where(there, (values - centre) ** 2, 0).sum(axis=0)
    spread = np.divide(squares, n * (n - 1.0), out=np.full(len(n), np.nan), where=n > 1)
    reach = stdtrit(np.maximum(n - 1, 1), 0.975) * np.sqrt(spread)
    return centre - reach, centre + reach


def lines(
    axes: Axes, values: Cube, low: Cube, high: Cube, colour: str = ACCENT, style: str = "-"
) -> None:
    """float64[L, G] with intervals: one lineage as it is, of several the mean and each thinly.

    The interval of several is that of their mean.
    """
    if len(values) > 1:
        axes.plot(values.T, color=GREY if colour == ACCENT else colour, linewidth=0.5, alpha=0.5)
        low, high = interval_of_mean(values)
    else:
        low, high = low[0], high[0]
    band(axes, low, high, colour, 0.2)
    axes.plot(mean(values), color=colour, linewidth=1.8, marker="o", markersize=3, linestyle=style)


def band(axes: Axes, low: Cube, high: Cube, colour: str = GREY, alpha: float = 0.3) -> None:
    """Fill between two ends float64[G], where both are defined; a bar where there is one."""
    here = np.isfinite(low) & np.isfinite(high)
    x = np.arange(len(low))
    alone = here & ~np.roll(here, 1) & ~np.roll(here, -1) if len(x) > 1 else here
    axes.fill_between(x, low, high, where=here.tolist(), color=colour, alpha=alpha, lw=0)
    if alone.any():
        axes.vlines(x[alone], low[alone], high[alone], color=colour, alpha=alpha, linewidth=8)


def chance_band(axes: Axes, low: Cube, high: Cube) -> None:
    """The band of chance alone: grey, with a dashed outline that no interval has."""
    band(axes, low, high, alpha=0.22)
    for end in (low, high):
        axes.plot(end, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))


def floor_band(axes: Axes, low: Cube, high: Cube, colour: str) -> None:
    """The band of real against real, with a dotted outline."""
    band(axes, low, high, colour, 0.15)
    for end in (low, high):
        axes.plot(end, color=colour, linewidth=0.9, linestyle=(0, (1, 1.6)))


def legend(axes: Axes, text: str) -> None:
    """A line of words between the title and the axes."""
    axes.annotate(text, (0, 1.005), xycoords="axes fraction", color=MUTED, fontsize=9, va="bottom")


def span(axes: Axes, last: int) -> None:
    """Let the axis hold all generations, undefined ones too."""
    margin = 0.03 * max(last, 1)
    axes.set_xlim(-margin, last + margin)
