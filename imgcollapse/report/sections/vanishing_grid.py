"""Section "Vanishing grid": samples of each class by generation, with the share of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from imgcollapse.report import grid_layout as layout
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.charts import Figure, to_png
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import listed
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
        generations = layout.pictured(lineage, census.last)
        grid = layout.vanishing_layout(lineage, census.last, SIDE)
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
        skipped = layout.removed_note(lineage, census.last)
        if not skipped and len(generations) <= census.last:
            skipped = f"{len(generations)} of {census.last + 1} generations"
        notes = filter(None, [layout.class_note(len(census.classes)), skipped])
        said += [f"Shown are {note}." for note in notes]
        figure = _figure(grid, shown, generations)
        return [Text(" ".join(said)), Images("Vanishing grid", shown, to_pictures(shown), figure)]


def _with_detection(
    grid: layout.ImageGrid, census: CensusArrays, generations: list[int]
) -> layout.ImageGrid:
    """The grid with the generation in which a class was last detected below its name."""
    *rows, unrecognized = grid.rows
    found = []
    for row, k in zip(rows, layout.shown_classes(len(census.classes)), strict=True):
        lost, last = bool(census.gone[0, k]), int(census.last_detected[0, k])
        detail = row.detail.removesuffix(" of real images")
        if lost:
            detail += " · never detected" if last < 0 else f" · last detected in {last}"
        doubtful = [not census.detected[0, g, k] for g in generations]
        cells = tuple(
            replace(cell, note=f"({cell.note})") if cell.count and doubt else cell
            for cell, doubt in zip(row.cells, doubtful, strict=True)
        )
        found.append(replace(row, detail=detail, cells=cells, lost=lost))
    return replace(grid, rows=(*found, unrecognized))


def _figure(grid: layout.ImageGrid, shown: layout.ImageGrid, generations: list[int]) -> Figure:
    """The grid as files."""
    last = generations[-1]
    gone = [row.name for row in reversed(grid.rows) if row.expected and not row.cells[-1].count]
    missing = (
        f"no sample of generation {last} is named {listed(gone)}"
        if gone
        else f"every class shown still has samples in generation {last}"
    )
    alt = f"Samples of each class, common to rare, by generation: {missing}."
    numbers = pd.DataFrame(
        {"generation": g, "class": row.name, "counted": cell.count, "n": cell.n}
        for row in grid.rows
        for g, cell in zip(generations, row.cells, strict=True)
    )
    return Figure(
        "vanishing-grid", alt, to_svg_file(shown, alt), to_png(to_image(grid, SIDE)), numbers
    )
