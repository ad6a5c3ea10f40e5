"""Checks every file of a run against its recorded hash, and files against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED
from imgcollapse.core.lineage_images import REMOVED, RESERVE
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.io import atomic, checksums
from imgcollapse.runs.lineage_dir import (
    DIVERGED,
    LOG,
    MANIFEST,
    SAMPLES,
    SELECTION,
    TRAIN_AGAIN,
    TRAINING_SET,
    Lineage,
)
from imgcollapse.runs.run_dir import REPORT, Run
from imgcollapse.runs.tables import csv


@dataclass
class Check:
    """One check of one run, with a line for each error and its fix, and for each other note.

    `extent` is how much was checked, in words; empty where nothing could be.
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

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Adds what the block raises to `wrong`."""
        try:
            yield
        except (UserError, OSError) as error:
            self.wrong.append(str(error))


def check_files(run: Run, reporter: ProgressReporter) -> Check:
    """Hashes every file; a file whose hash is not recorded elsewhere contains its own."""
    check, size = Check("files", run.path), 0
    tests = [*_run_tests(run), *(x for lineage in run.lineages for x in _lineage_tests(lineage))]
    for done, (path, test) in enumerate(tests, 1):
        with check.errors():
            test()
            size += path.stat().st_size if path.is_file() else 0
        reporter("verify", done, len(tests), 0)
    check.extent = f"{len(tests) + 1:,} files, {size / 1e6:,.1f} MB"  # run.json is one
    for lineage in run.lineages:
        with check.errors():
            if lineage.path.is_dir():
                lineage.check_order()
        check.notes += _changed_picks(lineage)
    return check


def check_tables(run: Run) -> Check:
    """Compares the tables with those derived from the manifests."""
    check, holders = Check("tables", run.path), [*run.lineages]
    count = 0
    for holder in holders if len(holders) == 1 else [run, *holders]:
        derived = {}
        with check.errors():
            derived = {"census": holder.census, "metrics": holder.metrics}
            if len(curation := holder.curation):
                derived["curation"] = curation
        for name, table in derived.items():
            path = holder.path / f"{name}.csv"
            count += 1
            if not path.is_file() or path.read_bytes() != csv(table):
                check.wrong.append(
                    f"{path}: differs from what the manifests give; repeat the study's command to "
                    "write it again"
                )
    check.extent = f"{count} derived again from the manifests"
    return check


Test = tuple[Path, Callable[[], object]]


def _run_tests(run: Run) -> Iterator[Test]:
    for name in run.files:
        yield run.path / name, partial(run.check, name)
    if (page := run.path / REPORT).is_file():
        yield page, partial(check_page, page)


def check_page(page: Path) -> None:
    """Raises a `UserError` if a report was changed."""
    if not checksums.is_intact_page(page):
        fix = f"imgcollapse report {page.parent} writes it again"
        raise UserError(f"{page}: cannot be read ({checksums.MISMATCH}); {fix}")


def _lineage_tests(lineage: Lineage) -> Iterator[Test]:
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
    path, logged = lineage.path / LOG, 0
    for number, event in enumerate(checksums.read_lines(path) if path.is_file() else (), 1):
        if event is None:
            raise UserError(f"{path}: line {number} was changed; nothing depends on it, remove it")
        match event:
            case {"event": "generation", "generation": int(g)}:
                logged = max(logged, g + 1)
            case {"event": "start", "generations": int(count)}:
                logged = max(logged, count)
    if logged < lineage.generations:
        raise UserError(
            f"{path}: ends before generation {logged}; nothing depends on it, repeat the study's "
            "command"
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
            path, found = lineage.path / name, None
            with suppress(OSError):
                found = atomic.sha256(path)
            if found != digest:
                yield f"{path}: changed after generation {g} was trained; what it kept is recorded"


def check_lineages(run: Run) -> Check:
    """Follows every training image to its source, and counts every class again."""
    check, count = Check("lineages", run.path), 0
    for lineage in run.lineages:
        sizes: dict[int, int] = {}
        pools: dict[int, Tensor] = {}
        for g in range(lineage.generations):
            with check.errors():
                pruned = lineage.manifest(g).get("pruned", ())
                sizes[g] = int(lineage.manifest(g)["census"][0]["n"])
                if SAMPLES not in pruned:
                    _check_samples(run, lineage, g)
                if g > 0:
                    if (kept := lineage.selection(g - 1)) is not None:
                        pools[g - 1] = kept.rows
                    if TRAINING_SET not in pruned:
                        count += _check_training_set(run, lineage, g, sizes, pools)
    check.extent = f"{count:,} training images traced to their source"
    return check


def _check_samples(run: Run, lineage: Lineage, g: int) -> None:
    """Checks that labels are classes, and that the census agrees with them; raises UserError."""
    path, classes = lineage.folder(g) / SAMPLES, run.record["classes"]
    labels, counted, study = lineage.samples(g).labels, lineage.counted(g), run.record["study"]
    for name, values in (("labels", labels), ("counted", counted)):
        if len(values) and not UNKNOWN <= int(values.min()) <= int(values.max()) < len(classes):
            foreign = f"{path}: {name} has a class that the study does not have"
            raise UserError(f"{foreign}; {TRAIN_AGAIN}")
    names = {**dict(enumerate(classes)), UNKNOWN: UNRECOGNIZED}
    expected = {name: int((counted == label).sum()) for label, name in names.items()}
    census = {row["class"]: row["counted"] for row in lineage.manifest(g)["census"]}
    if census != expected:
        manifest = lineage.folder(g) / MANIFEST
        raise UserError(f"{manifest}: its census does not agree with {SAMPLES}; {TRAIN_AGAIN}")
    if g > 0 and study.get("samples") not in (None, len(labels)):
        raise UserError(f"{path}: has {len(labels)} of {study['samples']} samples; {TRAIN_AGAIN}")


def _check_training_set(
    run: Run, lineage: Lineage, g: int, sizes: dict[int, int], pools: dict[int, Tensor]
) -> int:
    """Checks that every training image exists and was kept; returns how many; raises UserError."""
    path, chosen = lineage.folder(g) / TRAINING_SET, lineage.training_set(g)
    if len(chosen.generation) != len(chosen.row) or not len(chosen):
        raise UserError(f"{path}: is empty, or has rows without a generation; {TRAIN_AGAIN}")
    for source in chosen.generation.unique().tolist():
        if source < g and source not in (*sizes, RESERVE):
            continue  # its own manifest is wrong, and reported
        rows = chosen.row[chosen.generation == source]
        if not RESERVE <= source < g:
            raise UserError(f"{path}: has a row of generation {source}, a later one; {TRAIN_AGAIN}")
        size = len(run.reserve_labels) if source == RESERVE else sizes[source]
        if not 0 <= int(rows.min()) <= int(rows.max()) < size:
            raise UserError(f"{path}: has a row that is not in generation {source}; {TRAIN_AGAIN}")
        if source in pools:
            kept = pools[source]
            if len(kept) and not (REMOVED <= int(kept.min()) <= int(kept.max()) < size):
                place = lineage.folder(source + 1) / SELECTION
                raise UserError(f"{place}: has a row that does not exist; {TRAIN_AGAIN}")
            if not torch.isin(rows, kept[kept != REMOVED]).all():
                raise UserError(f"{path}: has a row that the filters removed; {TRAIN_AGAIN}")
    return len(chosen)
