"""Kills a study at random moments, flips a bit of it, and compares it with an unbroken run.

Each killed run must end with the files of an unbroken run, bit for bit.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from ctypes import Array, c_char
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, cast

from rich.table import Table

from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import NullProgress, ProgressReporter, StudyLength
from imgcollapse.core.sanitize import with_home
from imgcollapse.experiment.runner import run
from imgcollapse.io import atomic
from imgcollapse.runs.run_dir import Run
from imgcollapse.tools.verify import verify

RECORD = "chaos.json"
COMPARED = ("**/*.csv", "**/*.safetensors", "**/grid.png")
"""Files of a run folder that do not depend on time."""


_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_METHOD)
_CONTEXT.set_forkserver_preload(["imgcollapse.experiment.runner"])  # torch is imported only once
_STAGE_BYTES = 64


@dataclass(frozen=True)
class Kill:
    """One kill, in a stage, so many seconds after the start of the process.

    It is survived if the study was resumed and ended as the unbroken run did.
    """

    where: str
    after: float
    survived: bool


@dataclass(frozen=True)
class BitFlip:
    """One flipped bit of a file in the run folder, counted from the file's start.

    It is named if verifying the run named the file, and survived if the study ended as the unbroken
    run did once the generation was removed.
    """

    file: str
    bit: int
    named: bool
    survived: bool


@dataclass(frozen=True)
class FaultReport:
    """All faults that were injected in so many runs, and a line for each broken promise.

    Runs that ended otherwise than the unbroken one, which took `seconds`, are kept in `path`.
    """

    path: Path
    seconds: float
    runs: int
    kills: Sequence[Kill]
    bit_flip: BitFlip
    wrong: Sequence[str]

    def record(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {
            "path": str(self.path),
            "seconds": self.seconds,
            "twins": self.runs,
            "hits": [asdict(kill) for kill in self.kills],
            "damage": asdict(self.bit_flip),
            "wrong": list(self.wrong),
        }

    def table(self) -> Table:
        """Returns a table with a row for each stage that was killed, and one for the bit."""
        table = Table("fault", "where", "tried", "survived")
        survived = Counter(kill.where for kill in self.kills if kill.survived)
        for where, count in Counter(kill.where for kill in self.kills).most_common():
            table.add_row("SIGKILL", where, str(count), str(survived[where]))
        table.add_section()
        flip = self.bit_flip
        table.add_row("flipped bit", flip.file, "1", str(int(flip.named and flip.survived)))
        return table

    def summary(self) -> str:
        """Returns the report in one line."""
        survived = sum(kill.survived for kill in self.kills)
        result = "bit for bit the same" if not self.wrong else "see below"
        return (
            f"{survived} of {len(self.kills)} kills survived: {self.runs} killed runs compared "
            f"with an unbroken one of {self.seconds:.0f} s, {result}"
        )


def inject_faults(
    study: Study,
    out: Path | str,
    kills: int,
    seed: int = 0,
    reporter: ProgressReporter | None = None,
) -> FaultReport:
    """Kills a study at random moments, flips a bit of it, and compares each run's files.

    A run is killed at a moment drawn uniformly from the length of an unbroken run, resumed, killed
    again, until it has ended, and is then compared; another one follows, until there have been
    enough kills. What a kill interrupts depends on the clock, so a seed does not give the same
    faults twice. The study should be a small one: it is run about `kills` times.

    Raises:
        UserError: the folder is not empty, or the study does not run at all.
    """
    out, reporter, rng = with_home(out), reporter or NullProgress(), random.Random(seed)  # noqa: S311 - no secret
    if kills < 1:
        raise UserError(f"--kills: {kills} is too few; ask for 1 or more")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; remove it, or choose another --out")
    unbroken, made, wrong, runs = out / "unbroken", [], [], 0
    run_and_kill(study, unbroken)
    shutil.rmtree(unbroken)  # it filled the caches: its time is not representative
    start = time.monotonic()
    run_and_kill(study, unbroken)
    length = time.monotonic() - start
    reporter.log(f"An unbroken run takes {length:.1f} s.")
    killed = out / "broken"
    while len(made) < kills:
        killed, runs = out / f"broken_{runs:03d}", runs + 1
        found, problem = _kill_repeatedly(study, killed, length, kills - len(made), rng)
        problem = problem or _compare(unbroken, killed)
        made += [replace(kill, survived=not problem) for kill in found]
        reporter("chaos", len(made), kills, len(made))
        if problem:
            wrong.append(problem)
        elif len(made) < kills:
            shutil.rmtree(killed)
    shutil.copytree(unbroken, damaged := out / "damaged")
    bit_flip, problems = _flip_bit(study, unbroken, damaged, rng)
    wrong += problems
    for folder in (killed, damaged):
        if not any(str(folder) in line for line in wrong):
            shutil.rmtree(folder)
    report = FaultReport(out, length, runs, made, bit_flip, wrong)
    atomic.write_json(out / RECORD, report.record())
    return report


def _kill_repeatedly(
    study: Study, folder: Path, length: float, most: int, rng: random.Random
) -> tuple[list[Kill], str | None]:
    """Runs a study to its end with at most so many kills; returns them, and what went wrong."""
    kills: list[Kill] = []
    try:
        while len(kills) < most:
            after = rng.uniform(0, length)
            where = run_and_kill(study, folder, after)
            if where is None:
                return kills, None
            kills.append(Kill(where, round(after, 3), False))
        run_and_kill(study, folder)
    except UserError as error:
        return kills, f"{folder}: could not be resumed after a kill ({error})"
    return kills, None


def _compare(unbroken: Path, other: Path) -> str | None:
    """Returns a line that names a file which is missing in one of two runs, or differs."""
    expected, found = _hashes(unbroken), _hashes(other)
    differ = sorted({name for name, _ in expected.items() ^ found.items()})
    if not differ:
        return None
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    return f"{other}: {differ[0]}{more} differ from {unbroken}"


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): atomic.sha256(path)
        for pattern in COMPARED
        for path in folder.glob(pattern)
    }


def _flip_bit(
    study: Study, unbroken: Path, folder: Path, rng: random.Random
) -> tuple[BitFlip, list[str]]:
    """Flips a bit of a committed generation, verifies the run, follows the advice, compares."""
    lineage = rng.choice(Run.open(folder).lineages)
    g = rng.randrange(lineage.generations)
    path = rng.choice([p for p in sorted(lineage.folder(g).iterdir()) if p.is_file()])
    bit = rng.randrange(8 * path.stat().st_size)
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
        run_and_kill(study, folder)
        problem = _compare(unbroken, folder)
    except UserError as error:
        problem = f"{folder}: could not be resumed after generation {g} was removed ({error})"
    wrong += [problem] if problem else []
    return BitFlip(name, bit, named, not problem), wrong


def run_and_kill(study: Study, folder: Path, after: float | None = None) -> str | None:
    """Starts or resumes a study, and kills its process (SIGKILL) after so many seconds, if any.

    Returns the stage it was killed in, such as "train"; None if it had ended before.

    Raises:
        UserError: the study failed.
    """
    stage = RawArray(c_char, _STAGE_BYTES)  # still readable after the process is killed
    errors, sender = _CONTEXT.Pipe(duplex=False)
    process: BaseProcess = _CONTEXT.Process(  # pyright: ignore[reportAttributeAccessIssue]
        target=_run_study, args=(study.resolved(), folder, stage, sender), daemon=True
    )
    process.start()
    sender.close()
    process.join(after)
    if process.exitcode is None:
        process.kill()
        process.join()
    elif process.exitcode == 0:
        return None
    else:
        died = f"its process died (exit code {process.exitcode})"
        raise UserError(errors.recv() if errors.poll() else died)
    return stage.value.decode() or "begin"


class _StageReporter(NullProgress):
    """Writes the current stage to shared memory."""

    def __init__(self, stage: Array[c_char]) -> None:
        self.stage = stage

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self.stage.value = b"between stages" if generation else b"oracle"

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        if self.stage.value != b"oracle" or stage != "train":
            self.stage.value = stage.encode()[: _STAGE_BYTES - 1]


def _run_study(
    study: Mapping[str, Any], folder: Path, stage: Array[c_char], errors: Connection
) -> None:
    try:
        run(Study.model_validate(dict(study)), folder, reporter=_StageReporter(stage))
    except UserError as error:
        cast(Connection, errors).send(str(error))
        raise SystemExit(2) from None
