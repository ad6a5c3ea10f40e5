"""Whether a run is what it says: every file is hashed again, and a part of it is made again.

files.py       hashes, seals, tables
structure.py   provenance of the training images, counts of the census
replay.py      a training step and a batch of samples, bit for bit
result.py      what was found, as a table and as lines
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.runs.run_dir import RECORD, REPORT, Run
from imgcollapse.sweeps import is_sweep, open_sweep
from imgcollapse.tools.verify.files import check_files, check_page, check_tables
from imgcollapse.tools.verify.replay import check_replays
from imgcollapse.tools.verify.result import Check, Verification
from imgcollapse.tools.verify.structure import check_structure

__all__ = ["Check", "Verification", "verify"]


def verify(
    folder: Path | str, quick: bool = False, reporter: ProgressReporter | None = None
) -> Verification:
    """Look at everything in a run folder, or in all runs of a sweep's; writes nothing.

    Args:
        folder: a run's, or a sweep's.
        quick: hash everything and make nothing again.
        watcher: told about progress; none is silent.

    Raises:
        UserError: it is neither.
    """
    folder, reporter = Path(folder), reporter or NullProgress()
    if is_sweep(folder):
        return Verification(folder, list(_sweep(folder, quick, reporter)))
    if not (folder / RECORD).is_file():
        Run.open(folder)  # says what is wrong with that
    return Verification(folder, list(_run(folder, quick, reporter)))


def _sweep(folder: Path, quick: bool, reporter: ProgressReporter) -> Iterator[Check]:
    record = Check("sweep", folder, "sweep.json")
    try:
        arms = list(open_sweep(folder))
        if (page := folder / REPORT).is_file():
            check_page(page)
    except UserError as error:
        record.blame(error)
        arms = [path.parent.name for path in sorted(folder.glob(f"*/{RECORD}"))]
    yield record
    for arm in arms:
        if (folder / arm / RECORD).is_file():
            yield from _run(folder / arm, quick, reporter)
        else:
            record.notes.append(f"{folder / arm}: has not begun")


def _run(folder: Path, quick: bool, reporter: ProgressReporter) -> Iterator[Check]:
    try:
        run = Run.open(folder)
    except UserError as error:
        record = Check("files", folder, f"{RECORD} alone: it says what the others must be")
        record.blame(error)
        yield record
        return
    yield check_files(run, reporter)
    yield check_tables(run)
    if not quick:
        lineages = check_structure(run)
        yield lineages
        yield from check_replays(run, sound=not lineages.wrong)
