"""What a drill has hit, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        where: the stage that the study was in.
        after: seconds from the start of its process.
        survived: whether the study went on and ended as its unbroken twin.
    """

    where: str
    after: float
    survived: bool


@dataclass(frozen=True)
class BitFlip:
    """One flipped bit.

    Attributes:
        file: where, by its path in the run folder.
        bit: which, counted from the file's start.
        named: whether verifying the run named the file.
        survived: whether the study ended as its twin once that generation was removed.
    """

    file: str
    bit: int
    named: bool
    survived: bool


@dataclass(frozen=True)
class FaultReport:
    """All that was tried.

    Attributes:
        path: the folder of the drill; runs that did not end as they should are kept there.
        seconds: the unbroken run took.
        twins: runs that were killed and compared.
        hits: the kills.
        damage: a file was damaged.
        wrong: a line for everything that is not as promised.
    """

    path: Path
    seconds: float
    twins: int
    hits: Sequence[Kill]
    damage: BitFlip
    wrong: Sequence[str]

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"path": str(self.path)}

    def table(self) -> Table:
        """One row for each place that was hit, and one for the flipped bit."""
        table = Table("fault", "where", "tried", "survived")
        places = [hit.where for hit in self.hits]
        for place in sorted(set(places), key=lambda place: -places.count(place)):
            here = [hit for hit in self.hits if hit.where == place]
            table.add_row("SIGKILL", place, str(len(here)), str(sum(hit.survived for hit in here)))
        table.add_section()
        whole = self.damage.named and self.damage.survived
        table.add_row("flipped bit", self.damage.file, "1", str(int(whole)))
        return table

    def summary(self) -> str:
        """In a line."""
        survived = sum(hit.survived for hit in self.hits)
        return (
            f"{survived} of {len(self.hits)} kills survived: {self.twins} broken runs compared "
            f"with an unbroken one of {self.seconds:.0f} s, "
            f"{'bit for bit the same' if not self.wrong else 'see below'}"
        )
