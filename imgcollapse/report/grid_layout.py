"""Layout of image grids: which samples stand in which row and column.

One `ImageGrid` is painted as HTML, SVG and PNG (grid_painters.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.report.formatting import short
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage

MOST_GENERATIONS, MOST_CLASSES = 10, 12


@dataclass(frozen=True)
class Cell:
    """Some samples of one generation, such as those that the oracle gives one name.

    `pixels`, uint8[m, C, H, W], are shown of `count`, among n samples of the generation; `note` is
    below the images or in their place. An empty cell is hatched as a loss where one is `expected`.
    """

    pixels: Tensor
    count: int
    n: int
    note: str = ""
    description: str = ""
    expected: bool = True


@dataclass(frozen=True)
class Row:
    """A cell for each column, with the name on the left and a smaller line below it.

    Before the name is a mark in `color`; it may be shown as the name of a lost class.
    """

    name: str
    detail: str
    cells: tuple[Cell, ...]
    color: str = ""
    lost: bool = False

    @property
    def expected(self) -> bool:
        """Whether empty cells of this row are losses."""
        return all(cell.expected for cell in self.cells)


@dataclass(frozen=True)
class ImageGrid:
    """Samples in rows and columns; a cell holds `across` by `down` images.

    An image's longer side takes about `side` CSS pixels; `note` says what is shown.
    """

    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    across: int
    down: int
    side: int
    note: str = ""


def shown_generations(generations: int, most: int = MOST_GENERATIONS) -> list[int]:
    """At most that many of 0 .. generations-1, evenly, with the first and the last."""
    columns = min(generations, most)
    return [round(i * (generations - 1) / max(columns - 1, 1)) for i in range(columns)]


def kept_generations(lineage: Lineage, last: int) -> list[int]:
    """Those of generations 0 .. last whose samples retention has left."""
    return [g for g in range(last + 1) if SAMPLES not in lineage.pruned(g)]


def pictured(lineage: Lineage, last: int, most: int = MOST_GENERATIONS) -> list[int]:
    """`shown_generations` of 0 .. last, among those whose samples are there."""
    kept = kept_generations(lineage, last)
    return [kept[i] for i in shown_generations(len(kept), most)]


def shown_classes(classes: int) -> list[int]:
    """All labels, or of more than `MOST_CLASSES` the commonest, the middle and the rarest."""
    if classes <= MOST_CLASSES:
        return list(range(classes))
    third = MOST_CLASSES // 3
    starts = 0, (classes - third) // 2, classes - third
    return [start + i for start in starts for i in range(third)]


def class_note(classes: int) -> str:
    """Sentence on the classes that `shown_classes` leaves out; empty if it leaves out none."""
    third = MOST_CLASSES // 3
    which = f"the {third} commonest, {third} middle and {third} rarest of {classes} classes"
    return which if classes > MOST_CLASSES else ""


def removed_note(lineage: Lineage, last: int) -> str:
    """Sentence on the generations that have samples left; empty if all have."""
    kept = len(kept_generations(lineage, last))
    which = f"the {kept} of {last + 1} generations whose samples were kept"
    return which if kept <= last else ""


def headers(generations: Sequence[int]) -> tuple[str, ...]:
    """Headings of the columns of generations."""
    return tuple(str(g) if g else "real" for g in generations)


def cells(samples: Images, counted: Tensor, labels: list[int], most: int) -> Iterator[Cell]:
    """The first `most` samples of each label, by what the oracle named them (int16[N])."""
    for label in labels:
        rows = (counted == label).nonzero().flatten()
        yield Cell(samples.pixels[rows[:most]], len(rows), len(counted), expected=label != UNKNOWN)


def column(lineage: Lineage, g: int, labels: list[int], most: int) -> list[Cell]:
    """The cells of one generation, `UNKNOWN` below the labels."""
    return list(cells(lineage.samples(g), lineage.counted(g), [*labels, UNKNOWN], most))


def class_names(lineage: Lineage) -> tuple[list[str], list[float]]:
    """Names and real shares of the classes, common to rare."""
    census = lineage.census
    first = census[(census["generation"] == 0) & (census["class"] != UNRECOGNIZED)]
    return first["class"].tolist(), first["expected"].tolist()


def vanishing_layout(lineage: Lineage, last: int, side: int) -> ImageGrid:
    """Classes from common to rare against generations 0 to `last`, four samples of each in a cell.

    With many classes or generations only some are shown. An image's longer side takes about
    `side` pixels.
    """
    names, shares = class_names(lineage)
    labels, generations = shown_classes(len(names)), pictured(lineage, last)
    heads = [(names[k], f"{shares[k]:.1%} of real images") for k in labels]
    heads.append((UNRECOGNIZED, "like no real image"))
    columns = [
        [_described(name, g, cell) for (name, _), cell in zip(heads, cells_of, strict=True)]
        for g, cells_of in ((g, column(lineage, g, labels, most=4)) for g in generations)
    ]
    rows = tuple(
        Row(*head, row) for head, row in zip(heads, zip(*columns, strict=True), strict=True)
    )
    note = ", ".join(filter(None, [class_note(len(names)), removed_note(lineage, last)]))
    return ImageGrid(headers(generations), rows, 2, 2, side, note)


def class_layout(images: Images, classes: Sequence[str], side: int) -> ImageGrid:
    """The first 16 images of each class, common to rare, by their labels."""
    labels = shown_classes(len(classes))
    shown = zip(labels, cells(images, images.labels, labels, most=16), strict=True)
    rows = tuple(Row(short(classes[k]), f"{cell.count:,} images", (cell,)) for k, cell in shown)
    return ImageGrid(("",), rows, 16, 1, side, class_note(len(classes)))


def _described(name: str, g: int, cell: Cell) -> Cell:
    """A cell with its share of the generation as a note."""
    share = cell.count / cell.n
    note = f"{share:.1%}" if share >= 0.0005 else "<0.1%"
    if not cell.count:
        note = "none" if cell.expected else "0%"
    words = f"{name}, generation {g}: {cell.count:,} of {cell.n:,} samples"
    return replace(cell, note=note, description=words)
