"""Sections of the page: a section returns blocks, and one template draws every kind of block.

A section of your own is a subclass of `Section` in a module of yours, named by its import path: in
a study's YAML (`report: {sections: [my_package.sections:Brightness]}`) or as
`imgcollapse report RUN --section my_package.sections:Brightness`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic_core import PydanticCustomError

from imgcollapse.core.components import import_class
from imgcollapse.core.errors import UserError
from imgcollapse.report.charts import Download, Figure
from imgcollapse.report.data import PageData
from imgcollapse.report.grid_layout import ImageGrid
from imgcollapse.report.grid_painters import Picture


@dataclass(frozen=True)
class Block:
    """One part of a section, such as a paragraph or a table; text in it is escaped."""

    @property
    def kind(self) -> str:
        """Name of its macro in templates/page.html.j2."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; `style` is its CSS class: lead, second, caption, remark, warning or none."""

    text: str
    style: str = "caption"


@dataclass(frozen=True)
class Bullets(Block):
    """A list of sentences below a small heading."""

    title: str
    items: Sequence[str]


@dataclass(frozen=True)
class Cards(Block):
    """Articles beside each other: title, CSS color, and paragraphs."""

    cards: Sequence[tuple[str, str, Sequence[str]]]


@dataclass(frozen=True)
class Facts(Block):
    """Names with values; `colors` holds a CSS color for each, or nothing."""

    facts: Sequence[tuple[str, str]]
    colors: Sequence[str] = ()


@dataclass(frozen=True)
class Charts(Block):
    """Charts side by side, each with its files to download."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Panels(Block):
    """Small charts with captions; `whole` is one file of all of them, `style` a CSS class."""

    figures: Sequence[Figure]
    whole: Figure
    captions: Sequence[str] = ()
    style: str = "panels"


class Column(NamedTuple):
    """Heading of a table's column: of numbers, at the right; of wide screens only."""

    title: str
    number: bool = False
    wide: bool = False


class TableCell(NamedTuple):
    """A cell with smaller lines below its text; `bold` is of the last line."""

    text: str
    small: Sequence[str] = ()
    bold: bool = False


class TableRow(NamedTuple):
    """Cells, the first of them the heading after a mark in `color`; `alert` is for warnings."""

    cells: Sequence[str | TableCell]
    color: str = ""
    alert: bool = False


@dataclass(frozen=True)
class Table(Block):
    """A table; `label` is its accessible name, and `style` its CSS class."""

    label: str
    columns: Sequence[Column]
    rows: Sequence[TableRow]
    style: str = ""


@dataclass(frozen=True)
class Matrix(Block):
    """A confusion matrix: a name and K rates for each class."""

    label: str
    rows: Sequence[tuple[str, Sequence[float]]]


@dataclass(frozen=True)
class Images(Block):
    """A grid of images by row and column, and as files; a `strip` is one row with captions."""

    label: str
    grid: ImageGrid
    pictures: Sequence[Sequence[Picture | None]]
    figure: Figure
    strip: bool = False


@dataclass(frozen=True)
class Strip(Block):
    """Pictures in one row."""

    label: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Files(Block):
    """Files to download."""

    files: Sequence[Download]
    what: str


@dataclass(frozen=True)
class Code(Block):
    """Text in the letters of a terminal."""

    label: str
    text: str


@dataclass(frozen=True)
class Group(Block):
    """Blocks below a small heading, or in a frame."""

    title: str
    blocks: Sequence[Block] = ()
    framed: bool = False


@dataclass(frozen=True)
class Details(Block):
    """Blocks that a reader may open."""

    title: str
    blocks: Sequence[Block]
    opened: bool = False


class Section(ABC):
    """A section of the page: its identifier, heading, and the number of runs that it needs."""

    name: ClassVar[str]
    runs: ClassVar[Literal["one", "several", "any"]] = "any"
    heading: ClassVar[str] = ""

    def title(self, data: PageData) -> str:
        """The heading, where it depends on the runs."""
        return self.heading

    @abstractmethod
    def blocks(self, data: PageData) -> Sequence[Block]:
        """The contents; none leaves the section out."""

    def applies(self, data: PageData) -> bool:
        """Whether the section has the number of runs that it needs."""
        return self.runs == "any" or (self.runs == "several") == data.several


def load_section(path: str) -> Section:
    """Import a section of a user's own by module and class, "my_package.sections:Brightness".

    Raises:
        UserError: it cannot be imported, or is no section.
    """
    try:
        found: Any = import_class(path, Section)
        return found()
    except (PydanticCustomError, TypeError) as error:
        raise UserError(
            f"section {path}: {error}; write MODULE:CLASS of an installed subclass of "
            "imgcollapse.report.Section"
        ) from None
