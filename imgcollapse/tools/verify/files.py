"""Every file of a run against the hash that was recorded when it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.io import atomic, checksums
from imgcollapse.runs.lineage_dir import DIVERGED, LOG, MANIFEST, TRAIN_AGAIN, Lineage
from imgcollapse.runs.run_dir import REPORT, Run
from imgcollapse.runs.tables import csv
from imgcollapse.tools.verify.result import Check


def check_files(run: Run, reporter: ProgressReporter) -> Check:
    """Hash everything; what has no hash elsewhere carries its own."""
    check, size = Check("files", run.path), 0
    every = [*_beside_the_record(run), *(x for lineage in run.lineages for x in _of(lineage))]
    for done, (path, test) in enumerate(every, 1):
        try:
            test()
            size += path.stat().st_size if path.is_file() else 0
        except (UserError, OSError) as error:
            check.blame(str(error))
        reporter("verify", done, len(every), 0)
    check.extent = f"{len(every) + 1:,} files, {size / 1e6:,.1f} MB"  # run.json is one
    for lineage in run.lineages:
        try:
            if lineage.path.is_dir():
                lineage.check_order()
        except UserError as error:
            check.blame(error)
        check.notes += _changed_picks(lineage)
    return check


def check_tables(run: Run) -> Check:
    """Compare the tables with what the manifests give."""
    check, holders = Check("tables", run.path), [*run.lineages]
    count = 0
    for holder in holders if len(holders) == 1 else [run, *holders]:
        try:
            derived = {"census": holder.census, "metrics": holder.metrics}
            if len(curation := holder.curation):
                derived["curation"] = curation
        except UserError as error:
            check.blame(error)
            continue
        for name, table in derived.items():
            path = holder.path / f"{name}.csv"
            count += 1
            if not path.is_file() or path.read_bytes() != csv(table):
                check.blame(
                    f"{path}: is not what the manifests give; run the study's command again, which "
                    "writes it anew"
                )
    check.extent = f"{count} derived again from the manifests"
    return check


Test = tuple[Path, Callable[[], object]]


def _beside_the_record(run: Run) -> Iterator[Test]:
    for name in run.files:
        yield run.path / name, partial(run.check, name)
    if (page := run.path / REPORT).is_file():
        yield page, partial(check_page, page)


def check_page(page: Path) -> None:
    """See that a report is as it was written.

    Raises:
        UserError: it is not.
    """
    if not checksums.is_intact_page(page):
        mend = f"imgcollapse report {page.parent} writes it anew"
        raise UserError(f"{page}: cannot be read ({checksums.MISMATCH}); {mend}")


def _of(lineage: Lineage) -> Iterator[Test]:
    if not lineage.path.is_dir():  # it has not begun
        return
    for g in range(lineage.generations):
        yield lineage.folder(g) / MANIFEST, partial(lineage.manifest, g)
        try:
            manifest = lineage.manifest(g)
        except UserError:
            continue
        for name, digest in manifest["files"].items():
            if name not in manifest.get("pruned", ()):
                path = lineage.folder(g) / name
                yield path, partial(atomic.check, path, TRAIN_AGAIN, digest)
    yield lineage.path / LOG, partial(_check_log, lineage)
    if (ended := lineage.path / DIVERGED).is_file():
        yield ended, lambda: lineage.diverged
    for path in sorted((lineage.path / "picks").glob("gen_*.json")):
        yield path, partial(_check_picks, path)


def _check_log(lineage: Lineage) -> None:
    path, told = lineage.path / LOG, 0
    for number, event in enumerate(checksums.read_lines(path) if path.is_file() else (), 1):
        if event is None:
            raise UserError(
                f"{path}: line {number} is not as it was written; nothing depends on it, remove it"
            )
        match event:
            case {"event": "generation", "generation": int(g)}:
                told = max(told, g + 1)
            case {"event": "start", "generations": int(count)}:
                told = max(told, count)
    if told < lineage.generations:
        raise UserError(
            f"{path}: ends before generation {told}; nothing depends on it, run the study's "
            "command again"
        )


def _check_picks(path: Path) -> None:
    try:
        checksums.strip_checksum(path.read_bytes())
    except (OSError, ValueError) as error:
        raise atomic.damaged_file_error(path, error, "remove it and review again") from None


def _changed_picks(lineage: Lineage) -> Iterator[str]:
    for g in range(1, lineage.generations):
        try:
            evidence = lineage.manifest(g).get("evidence", {})
        except UserError:
            continue
        for name, digest in evidence.items():
            path = lineage.path / name
            if not _is(path, digest):
                yield f"{path}: is not what generation {g} was trained on; what it kept is recorded"


def _is(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and atomic.sha256(path) == digest
    except OSError:  # it is closed to us
        return False
