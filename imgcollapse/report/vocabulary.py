"""The words of images over generations: how rare ones fade, and which are lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from imgcollapse.metrics import Codebook
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.chart import GREY, INK, chart, label_ends, palette
from imgcollapse.report.distances import series
from imgcollapse.report.figure import Figure
from imgcollapse.report.first_detection import first_detections
from imgcollapse.report.formatting import percent
from imgcollapse.report.grid_layout import shown_generations
from imgcollapse.report.long_tables import tidy
from imgcollapse.report.pictures import image
from imgcollapse.report.series import chance_band, floor_band, legend, lines, mean, span
from imgcollapse.runs.run_dir import Run

MOST_CURVES, MOST_PATCHES, PATCH_SIDE = 4, 24, 32


def section(run: Run, counts: CensusArrays, metrics: pd.DataFrame) -> dict[str, Any] | None:
    """What the page says about words; None where the images of a run are not written as words.

    Args:
        run: the run.
        counts: its census.
        metrics: rows of the lineages that the census holds.
    """
    state, first = run.vocabulary(), run.lineages[counts.lineages[0]]
    kept = [first.words(g) for g in range(counts.last + 1)]
    there = [words for words in kept if words]
    if state is None or len(there) < len(kept):
        return None
    codebook, found = Codebook.of(state), np.stack([words["counts"].numpy() for words in there])
    drawn = [zipf(found), _over_generations(metrics, counts, *TAIL)]
    drawn.append(_over_generations(metrics, counts, *LOST))
    return {
        "number": len(codebook),
        "side": codebook.patches.shape[-1],
        "tail": len(codebook) - codebook.common,
        "sentences": sentences(metrics, counts.last),
        "charts": [figure for figure in drawn if figure],
        "lost": lost_patches(codebook, there),
        "lineage": first.number,
        "noticed": first_detections(counts, metrics),
    }


TAIL = "vocab_tail_mass", "Share of the rare words", True
LOST = "vocab_words_lost", "Words lost", False


def zipf(found: np.ndarray) -> Figure:
    """Share of the words of a generation by their rank there, int64[G, V] counts, both in logs."""
    shown = shown_generations(len(found), MOST_CURVES)
    colours = [INK, *palette(max(len(shown) - 1, 2))[::-1]]
    with chart("Words by rank") as (figure, axes):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank in its generation")
        ends, ranked = [], []
        for g, colour in zip(shown, colours, strict=False):
            shares = np.sort(found[g][found[g] > 0])[::-1] / max(found[g].sum(), 1)
            ranks = np.arange(1, len(shares) + 1)
            ranked.append(pd.DataFrame({"generation": g, "rank": ranks, "share": shares}))
            if len(shares):
                width = 2.2 if g == 0 else 1.5
                axes.plot(ranks, shares, color=colour, linewidth=width)
                name = "real" if g == 0 else f"generation {g}"
                ends.append((float(shares[-1]), f"{name}: {len(shares)} words", colour))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.autoscale_view()
        label_ends(axes, ends)
        which = ", ".join(str(g) for g in shown[1:])
        also = f" and of generations {which}" if which else ""
        alt = f"Share of each word by its rank: curves of the real images{also}, in logs."
        return Figure.drawn(figure, "words-by-rank", alt, pd.concat(ranked))


def _over_generations(
    metrics: pd.DataFrame, counts: CensusArrays, metric: str, title: str, share: bool
) -> Figure | None:
    """A metric with its interval, the band of chance alone and that of real against real."""
    generations = counts.last + 1
    values = series(metrics, metric, "value", generations)
    if values is None:
        return None
    ends = {
        kind: [series(metrics, metric + kind, end, generations) for end in ("low", "high")]
        for kind in ("", "_floor", "_chance")
    }
    with chart(title, labelled=False) as (figure, axes):
        said, beside = [], {}
        (low, high), nothing = ends["_chance"], np.full_like(values, np.nan)
        if low is not None and high is not None:
            beside |= {"chance_low": mean(low), "chance_high": mean(high)}
            chance_band(axes, mean(low), mean(high))
            said.append("dashed: chance alone, 95% of lineages")
        low, high = ends["_floor"]
        if low is not None and high is not None:
            beside |= {"floor_low": mean(low), "floor_high": mean(high)}
            floor_band(axes, mean(low), mean(high), GREY)
            said.append("dotted: real against real")
        low, high = (nothing if end is None else end for end in ends[""])
        lines(axes, values, low, high)
        legend(axes, "; ".join(said))
        axes.set_ylim(bottom=0)
        span(axes, counts.last)
        if share:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        else:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        alt = f"{title} by generation, with 95% intervals; {', '.join(said)}."
        table = tidy(counts.lineages, metric, values, low, high, **beside)
        return Figure.drawn(figure, title.lower().replace(" ", "-"), alt, table)


def lost_patches(codebook: Codebook, there: list[dict[str, Tensor]]) -> dict[str, Any]:
    """The words that the last generation has lost, the commonest first, enlarged."""
    lost = there[-1]["lost"].nonzero().flatten().tolist()
    images = np.stack([words["images"].numpy() for words in there])
    return {
        "number": len(lost),
        "shown": [
            image(
                codebook.patches[word : word + 1],
                1,
                PATCH_SIDE,
                f"Word {word + 1} of {len(codebook)}, in {images[0, word]:,} real training images, "
                f"last seen in generation {np.flatnonzero(images[:, word]).max(initial=0)}",
            )
            for word in lost[:MOST_PATCHES]
        ],
    }


def sentences(metrics: pd.DataFrame, last: int) -> list[str]:
    """What became of the rare words and how many are lost, meaned over lineages."""
    if last == 0:
        return []
    at = {
        (row["metric"], row["generation"]): row
        for row in metrics.loc[metrics["class"] == ""]
        .groupby(["metric", "generation"])[["value", "low", "high"]]
        .mean()
        .reset_index()
        .to_dict("records")
    }
    said = []
    tail = "vocab_tail_mass"
    then, now = at.get((tail, 0)), at.get((tail, last))
    if then and now and np.isfinite([then["value"], now["value"]]).all():
        band = _band(at, tail, last, percent)
        said.append(
            f"The rare words have {percent(now['value'])} of generation {last}, and had "
            f"{percent(then['value'])} of the real images{band}."
        )
    lost = at.get(("vocab_words_lost", last))
    if lost and np.isfinite(lost["value"]):
        number = f"{lost['value']:.3g} word{'' if lost['value'] == 1 else 's'}"
        verb = "is" if lost["value"] == 1 else "are"
        band = _band(at, "vocab_words_lost", last, lambda value: f"{value:.3g}")
        said.append(f"{number} of the real images {verb} lost by generation {last}{band}.")
    return said


def _band(at: dict[Any, Any], metric: str, g: int, show: Any) -> str:
    band = at.get((f"{metric}_chance", g))
    return f"; chance alone leaves {show(band['low'])} to {show(band['high'])}" if band else ""
