"""Section "Samples": images of one run by generation, or of several runs beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.report import grid_layout as layout
from imgcollapse.report.charts import Figure, to_png
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import listed
from imgcollapse.report.grid_layout import Cell, ImageGrid, Row
from imgcollapse.report.grid_painters import to_image, to_pictures, to_svg_file
from imgcollapse.report.section import Block, Group, Images, Section, Text
from imgcollapse.runs.lineage_dir import Lineage

STRIP_EDGE, STRIP_SIDE = 8, 32
"""Samples along an edge of a generation's picture, and the CSS pixels that each may take."""
EDGE, SIDE, MOST = 4, 24, 7
"""The same of a cell where runs are compared, and how many generations are shown."""
RARE_ROWS = 2
"""Rows of images in a cell of rare ones."""


class Samples(Section):
    """The first samples of each generation."""

    name, runs = "samples", "any"

    def title(self, data: PageData) -> str:
        """The heading."""
        return "The same samples of every arm" if data.several else "Samples"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """A strip of one lineage; of several runs the same samples, and those of rare classes."""
        if not data.several:
            return [strip(data)]
        number = _common_lineage(data)
        which = f", lineage {number}" if number is not None and len(data.run.lineages) > 1 else ""
        same = (
            f"The first {EDGE**2} samples of each generation{which}: same lineage, generation and "
            "rows from arm to arm."
        )
        if all(data.paired(run) for run in data.runs):
            same += " All arms have one seed, so images in the same place grew from the same noise."
        names = ", ".join(data.classes[k] for k in reversed(data.rare))
        rare = f"The first samples that the oracle names {names}, rarest first, and how many there"
        rare += " are."
        left = Group("What is left of the rarest classes", [Text(rare), rarest_samples(data)])
        return [Text(same), same_samples(data), left]


def strip(data: PageData) -> Images:
    """The first 64 samples of each generation of the first lineage."""
    lineage = data.run.lineage(data.run.lineages[0])
    generations = layout.pictured(lineage, lineage.generations - 1)
    cells, named = [], []
    for g in generations:
        pixels, counted = _first(lineage, g, STRIP_EDGE**2)
        names = [UNRECOGNIZED if k == UNKNOWN else data.classes[k] for k in counted.tolist()]
        commonest, times = Counter(names).most_common(1)[0]
        what = "The first real training images" if g == 0 else f"First samples of generation {g}"
        alt = f"{what}: {times} of {len(names)} are named {commonest}."
        cells.append(Cell(pixels, len(pixels), len(pixels), description=alt))
        named += [{"generation": g, "sample": i, "named": name} for i, name in enumerate(names)]
    row = Row("", "", tuple(cells))
    grid = ImageGrid(layout.headers(generations), (row,), STRIP_EDGE, STRIP_EDGE, STRIP_SIDE)
    alt = " ".join(cell.description for cell in cells)
    return _images("Samples by generation", "samples", alt, grid, named, strip=True)


def same_samples(data: PageData) -> Images:
    """The first samples of each generation, a row for each run."""

    def first(lineage: Lineage, g: int) -> Cell:
        pixels, counted = _first(lineage, g, EDGE**2)
        return Cell(pixels, int((counted != UNKNOWN).sum()), len(counted))

    grid, numbers = _compared(data, first, EDGE, "recognized", "are recognized")
    alt = (
        f"The first {EDGE**2} samples of each generation, a row for each arm. "
        f"{_at_end(grid, numbers, ', of these the oracle recognizes')}"
    )
    return _images("The same samples of every arm", "same-samples", alt, grid, numbers)


def rarest_samples(data: PageData) -> Images:
    """The first samples that the oracle gives the name of a rare class, rarest first."""

    def rare(lineage: Lineage, g: int) -> Cell:
        counted = lineage.counted(g)
        rows = [(counted == k).nonzero().flatten() for k in reversed(data.rare)]
        # As many of each class as there is room for, and no gap where one has fewer.
        room = EDGE * RARE_ROWS
        shown = torch.cat([of_class[: -(-room // len(rows))] for of_class in rows])[:room]
        count, n = sum(map(len, rows)), len(counted)
        note = f"{count:,} of {n:,}" if count else "none"
        return Cell(lineage.samples(g).pixels[shown], count, n, note)

    words = "samples are named as a rare class"
    grid, numbers = _compared(data, rare, RARE_ROWS, "rare", words)
    names = listed([data.classes[k] for k in reversed(data.rare)])
    alt = (
        f"Samples that the oracle names {names}, by generation, a row for each arm. "
        f"{_at_end(grid, numbers, ' these are')}"
    )
    return _images("Samples of the rarest classes", "rarest-samples", alt, grid, numbers)


def _compared(
    data: PageData, of: Callable[[Lineage, int], Cell], down: int, counted: str, words: str
) -> tuple[ImageGrid, list[dict[str, object]]]:
    """Runs against those generations whose samples all still have, with the numbers in cells.

    Args:
        data: the runs.
        of: the cell of a generation.
        down: rows of images in a cell.
        counted: the column of counts.
        words: what is counted.
    """
    number = _common_lineage(data)
    lineages = [run.lineage(run.lineages[0] if number is None else number) for run in data.runs]
    kept = set.intersection(*(set(layout.kept_generations(x, data.last)) for x in lineages))
    generations = [sorted(kept)[i] for i in layout.shown_generations(len(kept), MOST)]
    rows, numbers = [], []
    for run, lineage in zip(data.runs, lineages, strict=True):
        cells = []
        for g in generations:
            cell = of(lineage, g)
            when = "real images" if g == 0 else f"generation {g}"
            description = f"{run.title}, {when}: {cell.count:,} of {cell.n:,} {words}"
            cells.append(replace(cell, description=description))
            at = {"arm": run.title, "lineage": lineage.number, "generation": g}
            numbers.append(at | {counted: cell.count, "n": cell.n})
        rows.append(Row(run.title, "", tuple(cells), run.css))
    return ImageGrid(layout.headers(generations), tuple(rows), EDGE, down, SIDE), numbers


def _at_end(grid: ImageGrid, numbers: list[dict[str, object]], said: str) -> str:
    """Sentence on the counts in the last generation that is shown."""
    ends = (f"{row.cells[-1].count:,} of {row.cells[-1].n:,} in {row.name}" for row in grid.rows)
    return f"In generation {numbers[-1]['generation']}{said} {', '.join(ends)}."


def _images(
    label: str, name: str, alt: str, grid: ImageGrid, numbers: list[dict[str, object]], **kind: bool
) -> Images:
    png = to_png(to_image(grid, grid.side))
    figure = Figure(name, alt, to_svg_file(grid, alt), png, pd.DataFrame(numbers))
    return Images(label, grid, to_pictures(grid), figure, **kind)


def _first(lineage: Lineage, g: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of the first samples of a generation, and the labels that the oracle gives them."""
    return lineage.samples(g).pixels[:number], lineage.counted(g)[:number]


def _common_lineage(data: PageData) -> int | None:
    """The first lineage number that all runs have."""
    return min(set.intersection(*(set(run.lineages) for run in data.runs)), default=None)
