"""Kill a study at random moments, flip a bit of it, and compare with its unbroken twin."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.io import atomic
from imgcollapse.runs.run_dir import Run
from imgcollapse.tools.fault_injection.compare import differences
from imgcollapse.tools.fault_injection.fault_report import BitFlip, FaultReport, Kill
from imgcollapse.tools.fault_injection.killed_run import KilledRun
from imgcollapse.tools.verify import verify

RECORD = "chaos.json"


def inject_faults(
    study: Study,
    out: Path | str,
    kills: int,
    seed: int = 0,
    reporter: ProgressReporter | None = None,
) -> FaultReport:
    """Put a study to the drill.

    A run is killed at a moment drawn evenly from an unbroken run's length, goes on, is killed
    again, until it has come to its end and is compared; then another begins, until there have been
    so many kills. The clock decides what a kill hits, so the seed does not repeat a drill exactly.

    Args:
        study: a small one: all of it is run some `kills` times over.
        out: a new folder.
        kills: SIGKILLs in all.
        seed: names the moments and the flipped bit.
        watcher: told about progress; none is silent.

    Raises:
        UserError: the folder holds something, or the study does not run at all.
    """
    out, reporter, chance = Path(out), reporter or NullProgress(), random.Random(seed)  # noqa: S311 - no secret
    if kills < 1:
        raise UserError(f"--kills: {kills} is too few; ask for 1 or more")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; remove it, or choose another --out")
    unbroken, hits, wrong, twins = out / "unbroken", [], [], 0
    KilledRun(study, unbroken).ends()
    shutil.rmtree(unbroken)  # it warmed the caches up: its time says nothing
    began = time.monotonic()
    KilledRun(study, unbroken).ends()
    length = time.monotonic() - began
    reporter.log(f"An unbroken run takes {length:.1f} s.")
    broken = out / "broken"
    while len(hits) < kills:
        broken, twins = out / f"broken_{twins:03d}", twins + 1
        found, complaint = _broken(study, broken, length, kills - len(hits), chance)
        complaint = complaint or _compared(unbroken, broken)
        hits += [replace(hit, survived=not complaint) for hit in found]
        reporter("chaos", len(hits), kills, len(hits))
        if complaint:
            wrong.append(complaint)
        elif len(hits) < kills:
            shutil.rmtree(broken)
    shutil.copytree(unbroken, whole := out / "damaged")
    damage, complaints = _damaged(study, unbroken, whole, chance)
    wrong += complaints
    for folder in (broken, whole):
        if not any(str(folder) in line for line in wrong):
            shutil.rmtree(folder)
    result = FaultReport(out, length, twins, hits, damage, wrong)
    atomic.write_json(out / RECORD, result.record())
    return result


def _broken(
    study: Study, folder: Path, length: float, kills: int, chance: random.Random
) -> tuple[list[Kill], str | None]:
    """Run a study to its end with at most so many kills; what was hit, and what went wrong."""
    hits: list[Kill] = []
    try:
        while len(hits) < kills:
            after = chance.uniform(0, length)
            where = KilledRun(study, folder).killed_after(after)
            if where is None:
                return hits, None
            hits.append(Kill(where, round(after, 3), False))
        KilledRun(study, folder).ends()
    except UserError as error:
        return hits, f"{folder}: did not go on after a kill ({error})"
    return hits, None


def _compared(unbroken: Path, broken: Path) -> str | None:
    differ = differences(unbroken, broken)
    if not differ:
        return None
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    return f"{broken}: {differ[0]}{more} differ from {unbroken}"


def _damaged(
    study: Study, unbroken: Path, folder: Path, chance: random.Random
) -> tuple[BitFlip, list[str]]:
    """Flip a bit of a committed generation, see that it is named, mend it as told, and compare."""
    lineage = chance.choice(Run.open(folder).lineages)
    g = chance.randrange(lineage.generations)
    path = chance.choice([p for p in sorted(lineage.folder(g).iterdir()) if p.is_file()])
    bit = chance.randrange(8 * path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    name, wrong = path.relative_to(folder).as_posix(), []
    named = any(str(path) in line for line in verify(folder, quick=True).wrong)
    if not named:
        wrong.append(f"{path}: bit {bit} was flipped, and verifying did not find it")
    for later in range(g, lineage.generations):
        shutil.rmtree(lineage.folder(later), ignore_errors=True)
    try:
        KilledRun(study, folder).ends()
        complaint = _compared(unbroken, folder)
    except UserError as error:
        complaint = f"{folder}: did not go on after generation {g} was removed ({error})"
    wrong += [complaint] if complaint else []
    return BitFlip(name, bit, named, not complaint), wrong
