"""Verifies a run: hashes every file, checks that files agree, and replays its last steps.

files.py   hashes, tables, sources of the training images, counts of the census
replay.py  runs a training step and a batch of samples again, and compares bit for bit
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.core.sanitize import with_home
from imgcollapse.runs.run_dir import RECORD, REPORT, Run
from imgcollapse.sweeps import is_sweep, open_sweep
from imgcollapse.tools.verify import files
from imgcollapse.tools.verify.files import Check
from imgcollapse.tools.verify.replay import check_replays

__all__ = ["Check", "Verification", "verify"]


@dataclass
class Verification:
    """All checks of a run folder, or of a sweep's folder; all errors and notes, each once."""

    path: Path
    checks: Sequence[Check]

    def __post_init__(self) -> None:
        self.wrong = list(dict.fromkeys(line for check in self.checks for line in check.wrong))
        self.notes = list(dict.fromkeys(line for check in self.checks for line in check.notes))

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


def verify(
    folder: Path | str, quick: bool = False, reporter: ProgressReporter | None = None
) -> Verification:
    """Checks everything in a run folder, or in all runs of a sweep; writes nothing.

    With `quick` only files and tables are checked, and nothing is replayed.

    Raises:
        UserError: the folder is neither.
    """
    folder, reporter = with_home(folder), reporter or NullProgress()
    if is_sweep(folder):
        return Verification(folder, list(_verify_sweep(folder, quick, reporter)))
    if not (folder / RECORD).is_file():
        Run.open(folder)  # raises the error
    return Verification(folder, list(_verify_run(folder, quick, reporter)))


def _verify_sweep(folder: Path, quick: bool, reporter: ProgressReporter) -> Iterator[Check]:
    record = Check("sweep", folder, "sweep.json")
    try:
        arms = list(open_sweep(folder))
        if (page := folder / REPORT).is_file():
            files.check_page(page)
    except UserError as error:
        record.wrong.append(str(error))
        arms = [path.parent.name for path in sorted(folder.glob(f"*/{RECORD}"))]
    yield record
    for arm in arms:
        if (folder / arm / RECORD).is_file():
            yield from _verify_run(folder / arm, quick, reporter)
        else:
            record.notes.append(f"{folder / arm}: has not begun")


def _verify_run(folder: Path, quick: bool, reporter: ProgressReporter) -> Iterator[Check]:
    try:
        run = Run.open(folder)
    except UserError as error:
        record = Check("files", folder, f"{RECORD} alone, which names the others")
        record.wrong.append(str(error))
        yield record
        return
    yield files.check_files(run, reporter)
    yield files.check_tables(run)
    if not quick:
        lineages = files.check_lineages(run)
        yield lineages
        yield from check_replays(run, intact=not lineages.wrong)
