"""Samples of all arms side by side: the same rows of the same lineage and generation."""

from __future__ import annotations

from typing import Any

import torch

from imgcollapse.report.cells import shown_generations
from imgcollapse.report.comparison.arms import Arm, Arms
from imgcollapse.report.pictures import image

EDGE, SIDE, MOST = 4, 24, 7
"""Images along a cell's edge, CSS pixels each may take, generations that are shown."""

RARE_ROWS = 2
"""Rows of images in a cell of rare ones."""


def aligned(arms: Arms) -> dict[str, Any]:
    """The first samples of each generation: a row of cells for each arm."""
    number = _common(arms)
    generations = shown_generations(arms.last + 1, MOST)
    rows = [
        {
            "title": arm.title,
            "colour": arm.css,
            "cells": [
                _cell(arm, arm.lineages[0] if number is None else number, g) for g in generations
            ],
        }
        for arm in arms.all
    ]
    return {"generations": generations, "rows": rows, "lineage": number, "first": EDGE**2}


def rarest(arms: Arms) -> dict[str, Any]:
    """The first samples that the oracle gives the name of a rare class, rarest first."""
    number = _common(arms)
    generations = shown_generations(arms.last + 1, MOST)
    rows = [
        {
            "title": arm.title,
            "colour": arm.css,
            "cells": [
                _rare(arm, arm.lineages[0] if number is None else number, g, arms.rare)
                for g in generations
            ],
        }
        for arm in arms.all
    ]
    names = [arms.classes[k] for k in reversed(arms.rare)]
    return {"generations": generations, "rows": rows, "names": names}


def _common(arms: Arms) -> int | None:
    """The first lineage number that all arms have."""
    both = set.intersection(*(set(arm.lineages) for arm in arms.all))
    return min(both, default=None)


def _cell(arm: Arm, number: int, g: int) -> dict[str, Any]:
    pixels = arm.lineage(number).samples(g).pixels[: EDGE**2]
    return {"image": image(pixels, EDGE, SIDE, f"{arm.title}, {_generation(g)}"), "note": ""}


def _rare(arm: Arm, number: int, g: int, rare: tuple[int, ...]) -> dict[str, Any]:
    lineage = arm.lineage(number)
    counted = lineage.counted(g)
    rows = [(counted == k).nonzero().flatten() for k in reversed(rare)]
    chosen = torch.cat(rows)
    found = f"{len(chosen):,} of {len(counted):,}"
    if not len(chosen):
        return {"image": None, "note": "none"}
    # As many of each class as there is room for, and no gap where one has fewer.
    room = EDGE * RARE_ROWS
    shown = torch.cat([of_class[: -(-room // len(rare))] for of_class in rows])[:room]
    pixels = lineage.samples(g).pixels[shown]
    words = f"{arm.title}, {_generation(g)}: {found} samples are named as a rare class"
    return {"image": image(pixels, EDGE, SIDE, words, RARE_ROWS), "note": found}


def _generation(g: int) -> str:
    return "real images" if g == 0 else f"generation {g}"
