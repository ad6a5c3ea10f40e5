"""Samples as they stand on the page: the vanishing grid, strips, images inside the HTML."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

from PIL import Image
from torch import Tensor

from imgcollapse.census import UNRECOGNISED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.lineage import Lineage
from imgcollapse.report.cells import (
    LOSSLESS,
    Cell,
    class_note,
    column,
    shown_classes,
    shown_generations,
    tile,
)
from imgcollapse.report.counts import Counts

CELL_SIDE, STRIP_SIDE = 36, 32
"""CSS pixels that an image takes at most, in the vanishing grid and in a sample grid."""


def grid(lineage: Lineage, counts: Counts) -> dict[str, Any]:
    """The vanishing grid of the first lineage that the counts hold."""
    labels = shown_classes(len(counts.classes))
    generations = shown_generations(counts.last + 1)
    columns = [column(lineage, g, labels, most=4) for g in generations]
    real = counts.training / counts.training.sum()
    rows = []
    for i, k in enumerate([*labels, UNKNOWN]):
        known = k != UNKNOWN
        name = counts.classes[k] if known else UNRECOGNISED
        gone = bool(known and counts.gone[0, k])
        rows.append(
            {
                "name": name,
                "known": known,
                "share": f"{real[k]:.1%}" if known else "like no real image",
                "last_seen": _last_seen(int(counts.last_seen[0, k])) if gone else "",
                "cells": [
                    _cell(name, g, cells[i]) for g, cells in zip(generations, columns, strict=True)
                ],
            }
        )
    skipped = len(generations) <= counts.last
    return {
        "generations": generations,
        "rows": rows,
        "note": class_note(len(counts.classes)),
        "skipped": f"{len(generations)} of {counts.last + 1} generations" if skipped else "",
    }


def strips(lineage: Lineage) -> list[dict[str, Any]]:
    """The first 64 samples of each generation that is shown."""
    return [
        {
            "generation": g,
            "image": image(
                lineage.samples(g).pixels[:64],
                8,
                STRIP_SIDE,
                "Real training images" if g == 0 else f"Samples of generation {g}",
            ),
        }
        for g in shown_generations(lineage.generations)
    ]


def _last_seen(g: int) -> str:
    return "never detected" if g < 0 else f"last seen {g}"


def _cell(name: str, g: int, cell: Cell) -> dict[str, Any]:
    share = cell.count / cell.n
    described = f"{name}, generation {g}: {cell.count:,} of {cell.n:,} samples"
    return {
        "image": image(cell.pixels, 2, CELL_SIDE, described) if cell.count else None,
        "share": f"{share:.1%}" if share >= 0.0005 else "<0.1%",
        "described": described,
    }


def image(
    pixels: Tensor, edge: int, side: int, described: str, rows: int | None = None
) -> dict[str, Any]:
    """At most edge x edge images as one: source, size in CSS pixels, alternative text.

    Small images are enlarged in whole steps and stay sharp; large ones keep twice the pixels
    they are shown with, for fine screens.
    """
    _, channels, height, width = pixels.shape
    picture = tile(pixels, edge, rows or edge, 2 * side)
    longest = max(height, width)
    zoom = side // longest or side / min(longest, 2 * side)
    return {
        "sharp": longest <= side,
        "src": _data_uri(picture, channels * height * width <= LOSSLESS),
        "width": round(picture.width * zoom),
        "height": round(picture.height * zoom),
        "alt": described,
    }


def _data_uri(picture: Image.Image, lossless: bool) -> str:
    data = BytesIO()
    if lossless:
        picture.save(data, "PNG", optimize=True)
    else:
        picture.save(data, "WEBP", quality=85)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
