"""Section "Vanishing grid": samples of each class, common to rare, by generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from imgcollapse.core.images import UNKNOWN
from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.data import PageData
from imgcollapse.report.figure import Figure, to_png
from imgcollapse.report.formatting import listed
from imgcollapse.report.grid_layout import (
    ImageGrid,
    class_note,
    pictured,
    removed_note,
    shown_classes,
    vanishing_layout,
)
from imgcollapse.report.grid_painters import to_image, to_pictures, to_svg_file
from imgcollapse.report.section import Block, Images, Section, Text

SIDE = 36
"""CSS pixels that an image takes at most."""


class VanishingGrid(Section):
    """Samples of each class by generation, with the share of each class."""

    name, runs = "grid", "one"
    heading = "Vanishing grid"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """The grid of the first lineage."""
        census, lineage = data.run.census, data.run.lineage(data.run.lineages[0])
        generations = pictured(lineage, census.last)
        grid = vanishing_layout(lineage, census.last, SIDE)
        shown = _with_detection(grid, census, generations)
        said = [
            "Classes from common to rare, with their share of the real training images. Each cell "
            "shows the first samples that the oracle names so, and their share of the generation, "
            "not yet corrected for the oracle's mistakes."
        ]
        if any("(" in cell.note for row in shown.rows for cell in row.cells):
            said.append(
                "A share in brackets is too small to count as detected: the oracle's mistakes "
                "alone could give it."
            )
        if len(data.run.lineages) > 1:
            said.append(f"Of {len(data.run.lineages)} lineages, this is number {lineage.number}.")
        skipped = removed_note(lineage, census.last)
        if not skipped and len(generations) <= census.last:
            skipped = f"{len(generations)} of {census.last + 1} generations"
        notes = filter(None, [class_note(len(census.classes)), skipped])
        said += [f"Shown are {note}." for note in notes]
        figure = _figure(grid, shown, generations)
        return [Text(" ".join(said)), Images("Vanishing grid", shown, to_pictures(shown), figure)]


def _with_detection(grid: ImageGrid, census: CensusArrays, generations: list[int]) -> ImageGrid:
    """The grid with the generation in which a class was last detected below its name."""
    rows = []
    for row, k in zip(grid.rows, [*shown_classes(len(census.classes)), UNKNOWN], strict=True):
        if k == UNKNOWN:
            rows.append(row)
            continue
        lost = bool(census.gone[0, k])
        detail = row.detail.removesuffix(" of real images")
        if lost:
            last = int(census.last_detected[0, k])
            detail += " · never detected" if last < 0 else f" · last detected in {last}"
        cells = tuple(
            replace(cell, note=f"({cell.note})")
            if cell.count and not census.detected[0, g, k]
            else cell
            for cell, g in zip(row.cells, generations, strict=True)
        )
        rows.append(replace(row, detail=detail, cells=cells, lost=lost))
    return replace(grid, rows=tuple(rows))


def _figure(grid: ImageGrid, shown: ImageGrid, generations: list[int]) -> Figure:
    """The grid as files."""
    last = generations[-1]
    gone = [row.name for row in reversed(grid.rows) if row.expected and not row.cells[-1].count]
    missing = (
        f"no sample of generation {last} is named {listed(gone)}"
        if gone
        else f"every class shown still has samples in generation {last}"
    )
    alt = f"Samples of each class, common to rare, by generation: {missing}."
    numbers = [
        {"generation": g, "class": row.name, "counted": cell.count, "n": cell.n}
        for row in grid.rows
        for g, cell in zip(generations, row.cells, strict=True)
    ]
    png = to_png(to_image(grid, SIDE))
    return Figure("vanishing-grid", alt, to_svg_file(shown, alt), png, pd.DataFrame(numbers))
