"""Layout of image grids: which samples stand in which row and column.

One `ImageGrid` is painted as HTML, SVG and PNG (grid_painters.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from imgcollapse.census import UNRECOGNIZED
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.report.formatting import short
from imgcollapse.runs.lineage_dir import SAMPLES, Lineage

MOST_GENERATIONS, MOST_CLASSES = 10, 12


@dataclass(frozen=True)
class Cell:
    """Some samples of one generation, such as those that the oracle gives one name.

    Attributes:
        pixels: uint8[m, C, H, W], those that are shown.
        count: how many there are.
        n: samples of the generation.
        note: words below the images, or in their place.
        description: alternative text.
        expected: whether an empty cell is a loss, and is hatched.
    """

    pixels: Tensor
    count: int
    n: int
    note: str = ""
    description: str = ""
    expected: bool = True


@dataclass(frozen=True)
class Row:
    """A row of a grid.

    Attributes:
        name: on the left.
        detail: a smaller line below the name.
        cells: one for each column.
        color: of a mark before the name; empty for none.
        lost: whether the name is shown as that of a lost class.
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
    """Samples in rows and columns.

    Attributes:
        headers: of the columns; all empty for none.
        rows: from top to bottom.
        across: images side by side in a cell.
        down: rows of images that fit a cell on the page.
        side: about how many CSS pixels an image's longer side takes.
        note: says what is shown.
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
    middle = (classes - third) // 2
    starts = 0, middle, classes - third
    return [start + i for start in starts for i in range(third)]


def class_note(classes: int) -> str:
    """Sentence on the classes that `shown_classes` leaves out; empty if it leaves out none."""
    if classes <= MOST_CLASSES:
        return ""
    third = MOST_CLASSES // 3
    return f"the {third} commonest, {third} middle and {third} rarest of {classes} classes"


def removed_note(lineage: Lineage, last: int) -> str:
    """Sentence on the generations that have samples left; empty if all have."""
    kept = len(kept_generations(lineage, last))
    if kept == last + 1:
        return ""
    return f"the {kept} of {last + 1} generations whose samples were kept"


def header(g: int) -> str:
    """Heading of the column of generation g."""
    return str(g) if g else "real"


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
    """Classes from common to rare against generations, four samples of each in a cell.

    With many classes or generations only some are shown.

    Args:
        lineage: with at least generation 0.
        last: the last generation that is shown.
        side: about how many pixels an image's longer side takes.
    """
    names, shares = class_names(lineage)
    labels, generations = shown_classes(len(names)), pictured(lineage, last)
    columns = [column(lineage, g, labels, most=4) for g in generations]
    rows = [
        Row(
            names[k],
            f"{shares[k]:.1%} of real images",
            _described(names[k], columns, i, generations),
        )
        for i, k in enumerate(labels)
    ]
    unknown = _described(UNRECOGNIZED, columns, len(labels), generations)
    rows.append(Row(UNRECOGNIZED, "like no real image", unknown))
    note = ", ".join(filter(None, [class_note(len(names)), removed_note(lineage, last)]))
    return ImageGrid(tuple(map(header, generations)), tuple(rows), 2, 2, side, note)


def class_layout(images: Images, classes: Sequence[str], side: int) -> ImageGrid:
    """The first 16 images of each class, common to rare, by their labels."""
    labels = shown_classes(len(classes))
    shown = cells(images, images.labels, labels, most=16)
    rows = tuple(
        Row(short(classes[k]), f"{cell.count:,} images", (cell,))
        for k, cell in zip(labels, shown, strict=True)
    )
    return ImageGrid(("",), rows, 16, 1, side, class_note(len(classes)))


def _described(
    name: str, columns: Sequence[Sequence[Cell]], row: int, generations: Sequence[int]
) -> tuple[Cell, ...]:
    """The cells of a row, each with its share of the generation as a note."""
    found = []
    for g, of_generation in zip(generations, columns, strict=True):
        cell = of_generation[row]
        share = cell.count / cell.n
        note = f"{share:.1%}" if share >= 0.0005 else "<0.1%"
        if not cell.count:
            note = "none" if cell.expected else "0%"
        words = f"{name}, generation {g}: {cell.count:,} of {cell.n:,} samples"
        found.append(Cell(cell.pixels, cell.count, cell.n, note, words, cell.expected))
    return tuple(found)
