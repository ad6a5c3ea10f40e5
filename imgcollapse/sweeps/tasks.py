"""What there is to do in a sweep: begin an arm, and let each of its lineages live.

Who does it, and where, is a backend's business: a unit is plain data that may travel.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgcollapse.config.study import Study, setting
from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.core.sanitize import first_line
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.experiment.loop import run_lineage
from imgcollapse.experiment.runner import begin, join
from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import RECORD, Run
from imgcollapse.sweeps.plan import Plan

Key = tuple[str, int | None]
"""Arm and lineage; no lineage is the beginning of the arm."""


@dataclass(frozen=True)
class Task:
    """The smallest piece of work.

    Attributes:
        arm: whose.
        study: the arm's settings as plain values.
        folder: the arm's run folder.
        lineage: which repetition; None begins the arm (its record and its oracle).
        sibling: an earlier arm whose oracle, or whose first model, is the same.
        sibling_folder: its run folder.
        allow_env_change: as in `run`.
    """

    arm: str
    study: Mapping[str, Any]
    folder: Path
    lineage: int | None = None
    sibling: str | None = None
    sibling_folder: Path | None = None
    allow_env_change: bool = False

    @property
    def key(self) -> Key:
        """What it is called."""
        return self.arm, self.lineage

    @property
    def label(self) -> str:
        """What a reader calls it."""
        several = self.lineage is not None and self.study["lineages"] > 1
        return f"{self.arm}, lineage {self.lineage}" if several else self.arm

    @property
    def generations(self) -> int:
        """Models it has to train in all."""
        return 0 if self.lineage is None else self.study["generations"]

    def generations_done(self) -> int:
        """Models that are committed."""
        lineage = _lineage(self.folder, self.lineage)
        return max(lineage.generations - 1, 0) if lineage else 0

    def ready(self, ended: Mapping[Key, str | None]) -> bool:
        """Whether it can be taken up: ended are the keys of units that need not be waited for."""
        if self.lineage is not None and (self.arm, None) not in ended:
            return False
        if self.sibling is None or (self.sibling, self.lineage) in ended:
            return True
        theirs = _lineage(self.sibling_folder, self.lineage)
        return theirs is not None and theirs.generations > 1


@dataclass(frozen=True)
class TaskResult:
    """How a unit came to its end.

    Attributes:
        failure: why it is not done, in one line; None if it is.
        trace: the traceback of what nobody foresaw.
        again: whether a second try may do better; it may not where a user must mend something.
    """

    failure: str | None = None
    trace: str = ""
    again: bool = False


class TaskRunner:
    """Where units are done; what the lineages of an arm share is kept from one to the next."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self.reporter = reporter
        self.kept: tuple[Path, Run, Evaluator] | None = None

    def work(self, unit: Task) -> None:
        """Do a unit, or what is left of it.

        Raises:
            UserError: something must be mended first.
        """
        study = Study.model_validate(dict(unit.study))
        if unit.lineage is None:
            with folder_lock(unit.folder, self.reporter.log):
                begun = begin(
                    study, unit.folder, self.reporter, unit.sibling_folder, unit.allow_env_change
                )
            self.kept = (unit.folder, *begun)
            return
        if self.kept is None or self.kept[0] != unit.folder:
            self.kept = None  # two laboratories at a time would need twice the memory
            joined = join(study, unit.folder, self.reporter, unit.allow_env_change)
            self.kept = (unit.folder, *joined)
        _, run, evaluator = self.kept
        lineage = run.lineages[unit.lineage]
        with folder_lock(lineage.path, self.reporter.log):
            run_lineage(evaluator, lineage, _same_first_model(unit, run))

    def attempt(self, unit: Task) -> TaskResult:
        """Do a unit, and say how it ended; nothing is raised but `KeyboardInterrupt`."""
        try:
            self.work(unit)
        except UserError as error:
            return TaskResult(str(error))
        except Stopped as stopped:
            return TaskResult(str(stopped), again=True)
        except Exception as error:
            self.kept = None
            why = f"{type(error).__name__}: {first_line(error)}"
            return TaskResult(why, traceback.format_exc(), again=True)
        return TaskResult()


def tasks_of(plan: Plan, folder: Path) -> list[Task]:
    """All units of a sweep in the order they are best taken up; each needs only earlier ones.

    First the arms, then the first lineage of each, then the second: so a sweep under way can be
    compared as far as it has come.
    """
    studies = {arm.name: arm.study.resolved() for arm in plan.arms}
    decide_oracle = [key for key in Study.model_fields if "oracle" in setting(key).affects]
    decide_first_model = [k for k in Study.model_fields if "first_model" in setting(k).affects]
    begins, lives = [], []
    for at, (name, study) in enumerate(studies.items()):
        earlier, unit = list(studies)[:at], Task(name, study, folder / name)
        same = [e for e in earlier if _agree(studies[e], study, decide_oracle)]
        begins.append(_beside(unit, same, folder))
        same = [e for e in earlier if _agree(studies[e], study, decide_first_model)]
        for number in range(study["lineages"]):
            there = [e for e in same if number < studies[e]["lineages"]]
            lives.append(_beside(replace(unit, lineage=number), there, folder))
    return begins + sorted(lives, key=lambda unit: unit.lineage or 0)


def _beside(unit: Task, siblings: Sequence[str], folder: Path) -> Task:
    """The unit with the first of its siblings, if it has any."""
    if not siblings:
        return unit
    return replace(unit, sibling=siblings[0], sibling_folder=folder / siblings[0])


def _agree(one: Mapping[str, Any], other: Mapping[str, Any], keys: Iterable[str]) -> bool:
    return all(one[key] == other[key] for key in keys)


def _same_first_model(unit: Task, run: Run) -> Lineage | None:
    """The sibling's lineage, if the images and the machine that decide its bits are the same."""
    theirs = _lineage(unit.sibling_folder, unit.lineage)
    if theirs is None or unit.sibling_folder is None or theirs.generations < 2:
        return None
    mine, other = run.record, Run.open(unit.sibling_folder).record
    same = mine["data"]["sha256"] == other["data"]["sha256"]
    made_with = run.lineages[unit.lineage or 0].made_with
    return theirs if same and theirs.manifest(1)["made_with"] == made_with else None


def _lineage(folder: Path | None, number: int | None) -> Lineage | None:
    """The lineage of that number, if the run in the folder has begun and has so many."""
    if folder is None or number is None or not (folder / RECORD).is_file():
        return None
    lineages = Run.open(folder).lineages
    return lineages[number] if number < len(lineages) else None
