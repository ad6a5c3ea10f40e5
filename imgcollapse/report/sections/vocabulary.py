"""Section "Words": the words of images over generations, how rare ones fade, which are lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from imgcollapse.metrics import TAIL_MASS, WORDS_LOST, Codebook
from imgcollapse.report.charts import INK, Figure, chart, label_ends, palette
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import percent
from imgcollapse.report.grid_layout import shown_generations
from imgcollapse.report.grid_painters import Picture, picture
from imgcollapse.report.section import Block, Charts, Section, Strip, Text
from imgcollapse.report.sections.metrics import metric_charts

MOST_CURVES, MOST_PATCHES, PATCH_SIDE = 4, 24, 32


class Words(Section):
    """The words of images: small patches that were learned from real images."""

    name, runs = "words", "one"
    heading = "Words"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Sentences, charts and lost words; none where images are not written as words."""
        run, last = data.run, data.run.census.last
        state, lineage = run.run.vocabulary(), run.lineage(run.lineages[0])
        kept = [lineage.words(g) for g in range(last + 1)]
        there = [words for words in kept if words]
        if state is None or len(there) < len(kept):
            return []
        codebook = Codebook.of(state)
        found = np.stack([words["counts"].numpy() for words in there])
        infos = [info for info in run.metric_infos if info.section == "vocabulary"]
        side, tail = codebook.patches.shape[-1], len(codebook) - codebook.common
        said = (
            f"Images read as text: each is written in {len(codebook):,} words, patches of {side} × "
            f"{side} pixels that were learned from held-out real images, with no class labels. The "
            f"rare words are the {tail} least common ones. A word is lost where none of the "
            "samples that are compared with the real images has it, though as many real images "
            "would have shown it at its real share; rarer ones that are missing are below "
            "detection. Drift alone draws real images with replacement, and the words of an image "
            "together."
        )
        charts = Charts([zipf(found), *metric_charts(run.metrics, infos, last + 1)])
        blocks: list[Block] = [
            Text(" ".join(sentences(run.metrics, last)), style=""),
            Text(said),
            charts,
        ]
        number, pictures = lost_patches(codebook, there)
        if number:
            of = f" of lineage {lineage.number}" if len(run.lineages) > 1 else ""
            some = f", of which {len(pictures)} are shown" if len(pictures) < number else ""
            blocks.append(
                Text(
                    f"Lost in generation {last}{of}: {number} of {len(codebook)} words, the "
                    f"commonest first{some}."
                )
            )
            blocks.append(Strip("Words that are lost", pictures))
        return blocks


def zipf(found: np.ndarray) -> Figure:
    """Share of the words of a generation by their rank there, int64[G, V] counts, both in logs."""
    shown = shown_generations(len(found), MOST_CURVES)
    colors = [INK, *palette(max(len(shown) - 1, 2))[::-1]]
    with chart("Words by rank") as (figure, axes):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank in its generation")
        ends, ranked = [], []
        for g, color in zip(shown, colors, strict=False):
            shares = np.sort(found[g][found[g] > 0])[::-1] / max(found[g].sum(), 1)
            ranks = np.arange(1, len(shares) + 1)
            ranked.append(pd.DataFrame({"generation": g, "rank": ranks, "share": shares}))
            if len(shares):
                width = 2.2 if g == 0 else 1.5
                axes.plot(ranks, shares, color=color, linewidth=width)
                name = "real" if g == 0 else f"generation {g}"
                ends.append((float(shares[-1]), name, color))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.autoscale_view()
        label_ends(axes, ends)
        which = ", ".join(str(g) for g in shown[1:])
        also = f" and of generations {which}" if which else ""
        alt = f"Share of each word by its rank: curves of the real images{also}, in logs."
        return Figure.drawn(figure, "words-by-rank", alt, pd.concat(ranked))


def lost_patches(codebook: Codebook, there: list[dict[str, Tensor]]) -> tuple[int, list[Picture]]:
    """Number of words that the last generation has lost, and the commonest of them enlarged."""
    lost = there[-1]["lost"].nonzero().flatten().tolist()
    images = np.stack([words["images"].numpy() for words in there])

    def described(word: int) -> str:
        seen = int(np.flatnonzero(images[:, word]).max(initial=0))
        known = f"Word {word + 1} of {len(codebook)}, in {images[0, word]:,} real training images"
        if seen == len(there) - 1:
            return f"{known}, in {images[-1, word]:,} of the samples that are not compared"
        return f"{known}, last seen in generation {seen}"

    patches = [
        picture(codebook.patches[word : word + 1], 1, 1, PATCH_SIDE, described(word))
        for word in lost[:MOST_PATCHES]
    ]
    return len(lost), patches


def sentences(metrics: pd.DataFrame, last: int) -> list[str]:
    """Means over lineages of the share of rare words and of the number of lost words."""
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
    tail = TAIL_MASS.name
    then, now = at.get((tail, 0)), at.get((tail, last))
    if then and now and np.isfinite([then["value"], now["value"]]).all():
        band = _band(at, tail, last, percent)
        said.append(
            f"The rare words have {percent(now['value'])} of generation {last}, and had "
            f"{percent(then['value'])} of the real images{band}."
        )
    lost = at.get((WORDS_LOST.name, last))
    if lost and np.isfinite(lost["value"]):
        number = f"{lost['value']:.3g} word{'' if lost['value'] == 1 else 's'}"
        verb = "is" if lost["value"] == 1 else "are"
        band = _band(at, WORDS_LOST.name, last, lambda value: f"{value:.3g}")
        said.append(f"{number} of the real images {verb} lost by generation {last}{band}.")
    return said


def _band(at: Mapping[Any, Any], metric: str, g: int, show: Callable[[float], str]) -> str:
    band = at.get((f"{metric}_chance", g))
    return f"; drift alone leaves {show(band['low'])} to {show(band['high'])}" if band else ""
