"""Samples as they stand on the page: the vanishing grid, strips, images inside the HTML."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from typing import Any

import pandas as pd
from PIL import Image
from torch import Tensor

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.figure import Figure, data_uri, to_png
from imgcollapse.report.formatting import listed, short
from imgcollapse.report.grid_layout import (
    LOSSLESS,
    Cell,
    class_note,
    column,
    pictured,
    removed_note,
    shown_classes,
    tile,
)
from imgcollapse.report.grid_png import sheet
from imgcollapse.report.grid_svg import vector
from imgcollapse.report.grids import vanishing_grid
from imgcollapse.runs.lineage_dir import Lineage

CELL_SIDE, STRIP_SIDE = 36, 32
"""CSS pixels that an image takes at most, in the vanishing grid and in a sample grid."""
STRIP_EDGE = 8
"""Samples along an edge of a sample grid."""


def grid(lineage: Lineage, counts: CensusArrays) -> dict[str, Any]:
    """The vanishing grid of the first lineage that the counts hold."""
    labels = shown_classes(len(counts.classes))
    generations = pictured(lineage, counts.last)
    columns = [column(lineage, g, labels, most=4) for g in generations]
    real = counts.training / counts.training.sum()
    rows = []
    for i, k in enumerate([*labels, UNKNOWN]):
        known = k != UNKNOWN
        name = counts.classes[k] if known else UNRECOGNIZED
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
    skipped = removed_note(lineage, counts.last)
    if not skipped and len(generations) <= counts.last:
        skipped = f"{len(generations)} of {counts.last + 1} generations"
    return {
        "generations": generations,
        "rows": rows,
        "note": class_note(len(counts.classes)),
        "skipped": skipped,
        "figure": _grid_figure(lineage, generations, rows),
    }


def _grid_figure(lineage: Lineage, generations: list[int], rows: list[dict[str, Any]]) -> Figure:
    """The vanishing grid to take away."""
    last = generations[-1]
    gone = [row["name"] for row in reversed(rows) if row["known"] and not row["cells"][-1]["count"]]
    missing = (
        f"no sample of generation {last} is named {listed(gone)}"
        if gone
        else (f"every class shown still has samples in generation {last}")
    )
    alt = f"Samples of each class, common to rare, by generation: {missing}."
    numbers = [
        {"generation": g, "class": row["name"], "counted": cell["count"], "n": cell["n"]}
        for row in rows
        for g, cell in zip(generations, row["cells"], strict=True)
    ]
    svg = vector(
        alt,
        [_header(g) for g in generations],
        [(short(row["name"]), row["share"]) for row in rows],
        [
            [{"image": cell["light"], "words": _below(row, cell)} for cell in row["cells"]]
            for row in rows
        ],
    )
    png = to_png(vanishing_grid(lineage, CELL_SIDE))
    return Figure("vanishing-grid", alt, svg, png, pd.DataFrame(numbers))


def _below(row: dict[str, Any], cell: dict[str, Any]) -> str:
    if cell["count"]:
        return cell["share"]
    return "none" if row["known"] else ""


def samples(lineage: Lineage, counts: CensusArrays) -> dict[str, Any]:
    """The first 64 samples of each generation that is shown, and all of them to take away."""
    generations = pictured(lineage, lineage.generations - 1)
    strips, light, columns, named = [], [], [], []
    for g in generations:
        pixels, counted = (
            x[: STRIP_EDGE**2] for x in (lineage.samples(g).pixels, lineage.counted(g))
        )
        names = [UNRECOGNIZED if k == UNKNOWN else counts.classes[k] for k in counted.tolist()]
        commonest, times = Counter(names).most_common(1)[0]
        what = "The first real training images" if g == 0 else f"First samples of generation {g}"
        alt = f"{what}: {times} of {len(names)} are named {commonest}."
        strips.append({"generation": g, "image": image(pixels, STRIP_EDGE, STRIP_SIDE, alt)})
        light.append({"image": image(pixels, STRIP_EDGE, STRIP_SIDE, alt, light=True), "words": ""})
        columns.append([Cell(pixels, len(pixels), len(pixels))])
        named += [{"generation": g, "sample": i, "named": name} for i, name in enumerate(names)]
    headers = [_header(g) for g in generations]
    alt = " ".join(strip["image"]["alt"] for strip in strips)
    svg = vector(alt, headers, [("", "")], [light])
    png = to_png(sheet([("", "")], headers, columns, STRIP_EDGE, "", STRIP_SIDE))
    return {"strips": strips, "figure": Figure("samples", alt, svg, png, pd.DataFrame(named))}


def _header(g: int) -> str:
    return str(g) if g else "real"


def _last_seen(g: int) -> str:
    return "never detected" if g < 0 else f"last seen {g}"


def _cell(name: str, g: int, cell: Cell) -> dict[str, Any]:
    share = cell.count / cell.n
    described = f"{name}, generation {g}: {cell.count:,} of {cell.n:,} samples"
    return {
        "image": image(cell.pixels, 2, CELL_SIDE, described) if cell.count else None,
        "light": image(cell.pixels, 2, CELL_SIDE, described, light=True) if cell.count else None,
        "share": f"{share:.1%}" if share >= 0.0005 else "<0.1%",
        "described": described,
        "count": cell.count,
        "n": cell.n,
    }


def image(
    pixels: Tensor,
    edge: int,
    side: int,
    described: str,
    rows: int | None = None,
    light: bool = False,
) -> dict[str, Any]:
    """At most edge x edge images as one: source, size in CSS pixels, alternative text.

    Small images are enlarged in whole steps and stay sharp; large ones keep twice the pixels
    they are shown with, for fine screens. A light one, which goes into a file to take away, has
    fewer colours or pixels, and a format that every drawing program reads.
    """
    _, channels, height, width = pixels.shape
    most = side if light else 2 * side
    picture = tile(pixels, edge, rows or edge, most)
    longest = max(height, width)
    zoom = side // longest or side / min(longest, most)
    encode = _light if light else _full
    return {
        "sharp": longest <= side,
        "src": encode(picture, channels * height * width <= LOSSLESS),
        "width": round(picture.width * zoom),
        "height": round(picture.height * zoom),
        "alt": described,
    }


def _full(picture: Image.Image, lossless: bool) -> str:
    data = BytesIO()
    if lossless:
        picture.save(data, "PNG", optimize=True)
        return data_uri("image/png", data.getvalue())
    picture.save(data, "WEBP", quality=85)
    return data_uri("image/webp", data.getvalue())


def _light(picture: Image.Image, lossless: bool) -> str:
    ground = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(ground, picture).convert("RGB")
    if lossless:
        return data_uri("image/png", to_png(flat))
    data = BytesIO()
    flat.save(data, "JPEG", quality=85)
    return data_uri("image/jpeg", data.getvalue())
