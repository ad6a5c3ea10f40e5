"""Verifies a run: hashes every file, checks that files agree, and replays its last steps.

files.py   hashes, tables, sources of the training images, counts of the census
replay.py  runs a training step and a batch of samples again, and compares bit for bit
result.py  the results, as a table and as lines
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.runs.run_dir import RECORD, REPORT, Run
from imgcollapse.sweeps import is_sweep, open_sweep
from imgcollapse.tools.verify.files import check_files, check_lineages, check_page, check_tables
from imgcollapse.tools.verify.replay import check_replays
from imgcollapse.tools.verify.result import Check, Verification

__all__ = ["Check", "Verification", "verify"]


def verify(
    folder: Path | str, quick: bool = False, reporter: ProgressReporter | None = None
) -> Verification:
    """Checks everything in a run folder, or in all runs of a sweep; writes nothing.

    Args:
        folder: of a run, or of a sweep.
        quick: only files and tables; nothing is replayed.
        reporter: progress; None is silent.

    Raises:
        UserError: the folder is neither.
    """
    folder, reporter = Path(folder), reporter or NullProgress()
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
            check_page(page)
    except UserError as error:
        record.add_error(error)
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
        record.add_error(error)
        yield record
        return
    yield check_files(run, reporter)
    yield check_tables(run)
    if not quick:
        lineages = check_lineages(run)
        yield lineages
        yield from check_replays(run, intact=not lineages.wrong)
