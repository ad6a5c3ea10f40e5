"""Sections "Vanishing grid" and "Samples": images of classes and of runs by generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN
from imgcollapse.report.arrays import CensusArrays
from imgcollapse.report.chart import Figure, to_png
from imgcollapse.report.data import PageData
from imgcollapse.report.formatting import listed
from imgcollapse.report.grid_layout import (
    Cell,
    ImageGrid,
    Row,
    class_note,
    header,
    kept_generations,
    pictured,
    removed_note,
    shown_classes,
    shown_generations,
    vanishing_layout,
)
from imgcollapse.report.grid_painters import to_image, to_pictures, to_svg_file
from imgcollapse.report.section import Block, Group, Images, Section, Text
from imgcollapse.runs.lineage_dir import Lineage

STRIP_EDGE, STRIP_SIDE = 8, 32
"""Samples along an edge of a generation's picture, and the CSS pixels that each may take."""
EDGE, SIDE, MOST = 4, 24, 7
"""The same of a cell where runs are compared, and how many generations are shown."""
GRID_SIDE = 36
"""CSS pixels that an image of the vanishing grid takes at most."""
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
        names = [data.classes[k] for k in reversed(data.rare)]
        rare = (
            f"The first samples that the oracle names {', '.join(names)}, rarest first, and how "
            "many there are."
        )
        left = Group("What is left of the rarest classes", [Text(rare), rarest_samples(data)])
        return [Text(same), same_samples(data), left]


def strip(data: PageData) -> Images:
    """The first 64 samples of each generation of the first lineage."""
    lineage, classes = data.run.lineage(data.run.lineages[0]), data.classes
    generations = pictured(lineage, lineage.generations - 1)
    cells, named = [], []
    for g in generations:
        pixels, counted = (
            x[: STRIP_EDGE**2] for x in (lineage.samples(g).pixels, lineage.counted(g))
        )
        names = [UNRECOGNIZED if k == UNKNOWN else classes[k] for k in counted.tolist()]
        commonest, times = Counter(names).most_common(1)[0]
        what = "The first real training images" if g == 0 else f"First samples of generation {g}"
        alt = f"{what}: {times} of {len(names)} are named {commonest}."
        cells.append(Cell(pixels, len(pixels), len(pixels), description=alt))
        named += [{"generation": g, "sample": i, "named": name} for i, name in enumerate(names)]
    headers = tuple(map(header, generations))
    grid = ImageGrid(headers, (Row("", "", tuple(cells)),), STRIP_EDGE, STRIP_EDGE, STRIP_SIDE)
    alt = " ".join(cell.description for cell in cells)
    figure = _figure("samples", alt, grid, pd.DataFrame(named))
    return Images("Samples by generation", grid, to_pictures(grid), figure, strip=True)


def same_samples(data: PageData) -> Images:
    """The first samples of each generation, a row for each run."""

    def first(lineage: Lineage, g: int) -> Cell:
        pixels, counted = (x[: EDGE**2] for x in (lineage.samples(g).pixels, lineage.counted(g)))
        return Cell(pixels, int((counted != UNKNOWN).sum()), len(counted))

    alt = f"The first {EDGE**2} samples of each generation, a row for each arm."
    said = ", of these the oracle recognizes"
    grid, figure = _compared(
        data, first, EDGE, ("same-samples", "recognized", "are recognized"), alt, said
    )
    return Images("The same samples of every arm", grid, to_pictures(grid), figure)


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

    names = [data.classes[k] for k in reversed(data.rare)]
    alt = f"Samples that the oracle names {listed(names)}, by generation, a row for each arm."
    counted = ("rarest-samples", "rare", "samples are named as a rare class")
    grid, figure = _compared(data, rare, RARE_ROWS, counted, alt, " these are")
    return Images("Samples of the rarest classes", grid, to_pictures(grid), figure)


def _compared(
    data: PageData,
    of: Callable[[Lineage, int], Cell],
    down: int,
    names: tuple[str, str, str],
    alt: str,
    said: str,
) -> tuple[ImageGrid, Figure]:
    """Runs against generations, and the same as files.

    Only generations whose samples all runs still have.

    Args:
        data: the runs.
        of: the cell of a generation.
        down: rows of images in a cell.
        names: of the files, of the column of counts, and what is counted in words.
        alt: what the grid shows.
        said: the words before the counts of the last generation.
    """
    name, counted, words = names
    number = _common_lineage(data)
    lineages = [run.lineage(run.lineages[0] if number is None else number) for run in data.runs]
    kept = set.intersection(*(set(kept_generations(x, data.last)) for x in lineages))
    generations = [sorted(kept)[i] for i in shown_generations(len(kept), MOST)]
    rows, numbers = [], []
    for run, lineage in zip(data.runs, lineages, strict=True):
        cells = []
        for g in generations:
            cell = of(lineage, g)
            when = "real images" if g == 0 else f"generation {g}"
            description = f"{run.title}, {when}: {cell.count:,} of {cell.n:,} {words}"
            cells.append(Cell(cell.pixels, cell.count, cell.n, cell.note, description))
            at = {"arm": run.title, "lineage": lineage.number, "generation": g}
            numbers.append(at | {counted: cell.count, "n": cell.n})
        rows.append(Row(run.title, "", tuple(cells), run.css))
    ends = (f"{row.cells[-1].count:,} of {row.cells[-1].n:,} in {row.name}" for row in rows)
    alt = f"{alt} In generation {generations[-1]}{said} {', '.join(ends)}."
    grid = ImageGrid(tuple(map(header, generations)), tuple(rows), EDGE, down, SIDE)
    return grid, _figure(name, alt, grid, pd.DataFrame(numbers))


def _common_lineage(data: PageData) -> int | None:
    """The first lineage number that all runs have."""
    both = set.intersection(*(set(run.lineages) for run in data.runs))
    return min(both, default=None)


def _figure(name: str, alt: str, grid: ImageGrid, table: pd.DataFrame) -> Figure:
    return Figure(name, alt, to_svg_file(grid, alt), to_png(to_image(grid, grid.side)), table)


class VanishingGrid(Section):
    """Samples of each class by generation, with the share of each class."""

    name, runs = "grid", "one"
    heading = "Vanishing grid"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """The grid of the first lineage."""
        census, lineage = data.run.census, data.run.lineage(data.run.lineages[0])
        generations = pictured(lineage, census.last)
        grid = vanishing_layout(lineage, census.last, GRID_SIDE)
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
        figure = _grid_figure(grid, shown, generations)
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


def _grid_figure(grid: ImageGrid, shown: ImageGrid, generations: list[int]) -> Figure:
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
    png = to_png(to_image(grid, GRID_SIDE))
    return Figure("vanishing-grid", alt, to_svg_file(shown, alt), png, pd.DataFrame(numbers))
