"""What a verification has found, as a table and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from imgcollapse.core.errors import UserError


@dataclass
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is called.
        run: of which run.
        extent: how much was looked at, in words; empty where nothing could be.
        wrong: a line for each thing that is wrong, with its mend.
        notes: a line for each thing that a reader should know and that is not wrong.
    """

    name: str
    run: Path
    extent: str = ""
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.wrong:
            return "wrong"
        return "sound" if self.extent else "not replayed" if self.notes else "nothing to see"

    def blame(self, error: UserError | str) -> None:
        """Note a thing that is wrong."""
        self.wrong.append(str(error))


@dataclass(frozen=True)
class Verification:
    """All that was looked at in a run folder, or in a sweep's."""

    path: Path
    checks: Sequence[Check]

    @property
    def wrong(self) -> list[str]:
        """A line for each thing that is wrong, each once."""
        return list(dict.fromkeys(line for check in self.checks for line in check.wrong))

    @property
    def notes(self) -> list[str]:
        """A line for each thing that a reader should know, each once."""
        return list(dict.fromkeys(line for check in self.checks for line in check.notes))

    def table(self) -> Table:
        """One row for each check."""
        several = len({check.run for check in self.checks}) > 1
        table = Table(*(["run"] if several else []), "check", "what", "verdict")
        before = None
        for check in self.checks:
            if before not in (None, check.run):
                table.add_section()
            named = [check.run.name if check.run != before else ""] if several else []
            table.add_row(*named, check.name, check.extent, check.verdict)
            before = check.run
        return table

    def summary(self) -> str:
        """In a line."""
        if self.wrong:
            things = "1 thing is" if len(self.wrong) == 1 else f"{len(self.wrong)} things are"
            return f"{self.path}: {things} wrong"
        return f"{self.path}: every file is the one that was written"
