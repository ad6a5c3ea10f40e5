"""The results of a verification, as a table and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from imgcollapse.core.errors import UserError


@dataclass
class Check:
    """One check of one run.

    Attributes:
        name: of the check.
        run: folder of the run.
        extent: how much was checked, in words; empty where nothing could be.
        wrong: a line for each error, with its fix.
        notes: a line for each thing that a reader should know and that is no error.
    """

    name: str
    run: Path
    extent: str = ""
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The result in a word or two."""
        if self.wrong:
            return "wrong"
        return "ok" if self.extent else "not replayed" if self.notes else "nothing to check"

    def add_error(self, error: UserError | str) -> None:
        """Adds a line to `wrong`."""
        self.wrong.append(str(error))


@dataclass(frozen=True)
class Verification:
    """All checks of a run folder, or of a sweep's folder."""

    path: Path
    checks: Sequence[Check]

    @property
    def wrong(self) -> list[str]:
        """All errors, each once."""
        return list(dict.fromkeys(line for check in self.checks for line in check.wrong))

    @property
    def notes(self) -> list[str]:
        """All notes, each once."""
        return list(dict.fromkeys(line for check in self.checks for line in check.notes))

    def table(self) -> Table:
        """Returns a table with a row for each check."""
        several = len({check.run for check in self.checks}) > 1
        table = Table(*(["run"] if several else []), "check", "extent", "result")
        before = None
        for check in self.checks:
            if before not in (None, check.run):
                table.add_section()
            named = [check.run.name if check.run != before else ""] if several else []
            table.add_row(*named, check.name, check.extent, check.verdict)
            before = check.run
        return table

    def summary(self) -> str:
        """Returns the result in one line."""
        if self.wrong:
            return f"{self.path}: {len(self.wrong)} error{'s' * (len(self.wrong) > 1)}"
        return f"{self.path}: every file is intact"
