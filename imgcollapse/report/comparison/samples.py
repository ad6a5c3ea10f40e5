"""Samples of all arms side by side: the same rows of the same lineage and generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from imgcollapse.core.images import UNKNOWN
from imgcollapse.report.comparison.aligned_runs import Arms
from imgcollapse.report.figure import Figure, to_png
from imgcollapse.report.formatting import listed, short
from imgcollapse.report.grid_layout import Cell, kept_generations, shown_generations
from imgcollapse.report.grid_png import sheet
from imgcollapse.report.grid_svg import vector
from imgcollapse.report.pictures import image
from imgcollapse.runs.lineage_dir import Lineage

EDGE, SIDE, MOST = 4, 24, 7
"""Images along a cell's edge, CSS pixels each may take, generations that are shown."""

RARE_ROWS = 2
"""Rows of images in a cell of rare ones."""

COLUMNS = {"same-samples": "recognised", "rarest-samples": "rare"}
WORDS = {"same-samples": "are recognised", "rarest-samples": "samples are named as a rare class"}
"""What is counted in a cell of each grid: in its table, and in words."""


def aligned(arms: Arms) -> dict[str, Any]:
    """The first samples of each generation: a row of cells for each arm."""
    alt = f"The first {EDGE**2} samples of each generation, a row for each arm."
    said = ", of these the oracle recognises"
    return _grid(arms, _first, EDGE, "same-samples", alt, said) | {"first": EDGE**2}


def rarest(arms: Arms) -> dict[str, Any]:
    """The first samples that the oracle gives the name of a rare class, rarest first."""
    names = [arms.classes[k] for k in reversed(arms.rare)]
    alt = f"Samples that the oracle names {listed(names)}, by generation, a row for each arm."
    return _grid(arms, _rare, RARE_ROWS, "rarest-samples", alt, " these are") | {"names": names}


@dataclass(frozen=True)
class _Shown:
    """What stands in a cell: images uint8[m, C, H, W]; `count` of `n` are what is looked for."""

    pixels: Tensor
    count: int
    n: int
    note: str = ""


def _grid(
    arms: Arms,
    of: Callable[[Arms, Lineage, int], _Shown],
    high: int,
    name: str,
    alt: str,
    said: str,
) -> dict[str, Any]:
    """Arms against generations, `high` rows of images in a cell, and the same to take away.

    Only generations whose samples all arms still have.
    """
    number = _common(arms)
    lineages = [arm.lineage(arm.lineages[0] if number is None else number) for arm in arms.all]
    kept = set.intersection(*(set(kept_generations(x, arms.last)) for x in lineages))
    generations = [sorted(kept)[i] for i in shown_generations(len(kept), MOST)]
    rows, light, columns, numbers = [], [], [[] for _ in generations], []
    for arm, lineage in zip(arms.all, lineages, strict=True):
        cells, pale = [], []
        for g, column in zip(generations, columns, strict=True):
            shown = of(arms, lineage, g)
            found = f"{shown.count:,} of {shown.n:,}"
            words = f"{arm.title}, {_generation(g)}: {found} {WORDS[name]}"
            pictures = [
                image(shown.pixels, EDGE, SIDE, words, high, light=light)
                if len(shown.pixels)
                else None
                for light in (False, True)
            ]
            cells.append({"image": pictures[0], "note": shown.note})
            pale.append({"image": pictures[1], "words": shown.note})
            column.append(Cell(shown.pixels, len(shown.pixels), shown.n))
            numbers.append(
                {
                    "arm": arm.title,
                    "lineage": lineage.number,
                    "generation": g,
                    COLUMNS[name]: shown.count,
                    "n": shown.n,
                }
            )
        rows.append({"title": arm.title, "colour": arm.css, "cells": cells})
        light.append(pale)
    table = pd.DataFrame(numbers)
    ends = table.loc[table["generation"] == generations[-1]]
    counts = (
        f"{count:,} of {n:,} in {title}"
        for title, count, n in zip(ends["arm"], ends[COLUMNS[name]], ends["n"], strict=True)
    )
    alt = f"{alt} In generation {generations[-1]}{said} {', '.join(counts)}."
    headers = ["real" if g == 0 else str(g) for g in generations]
    names = [(short(arm.title), "") for arm in arms.all]
    svg = vector(alt, headers, names, light)
    png = to_png(sheet(names, headers, columns, EDGE, "", SIDE))
    return {
        "generations": generations,
        "rows": rows,
        "lineage": number,
        "figure": Figure(name, alt, svg, png, table),
    }


def _common(arms: Arms) -> int | None:
    """The first lineage number that all arms have."""
    both = set.intersection(*(set(arm.lineages) for arm in arms.all))
    return min(both, default=None)


def _first(_: Arms, lineage: Lineage, g: int) -> _Shown:
    pixels, counted = (x[: EDGE**2] for x in (lineage.samples(g).pixels, lineage.counted(g)))
    return _Shown(pixels, int((counted != UNKNOWN).sum()), len(counted))


def _rare(arms: Arms, lineage: Lineage, g: int) -> _Shown:
    counted = lineage.counted(g)
    rows = [(counted == k).nonzero().flatten() for k in reversed(arms.rare)]
    # As many of each class as there is room for, and no gap where one has fewer.
    room = EDGE * RARE_ROWS
    shown = torch.cat([of_class[: -(-room // len(rows))] for of_class in rows])[:room]
    count, n = sum(map(len, rows)), len(counted)
    note = f"{count:,} of {n:,}" if count else "none"
    return _Shown(lineage.samples(g).pixels[shown], count, n, note)


def _generation(g: int) -> str:
    return "real images" if g == 0 else f"generation {g}"
