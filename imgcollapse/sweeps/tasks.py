"""The tasks of a sweep: begin an arm, and run each of its lineages; and what they cost.

A task is plain data, which a backend may send to another process or machine.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgcollapse.config.study import Study, setting
from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.core.sanitize import first_line
from imgcollapse.experiment.evaluator import Evaluator
from imgcollapse.experiment.forecast import CostProfile, Forecast, forecast, measure_cost
from imgcollapse.experiment.loop import run_lineage
from imgcollapse.experiment.runner import begin, join
from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import RECORD, Run
from imgcollapse.sweeps.plan import Plan

Key = tuple[str, int | None]
"""Arm and lineage; the lineage is None for the task that begins the arm."""


@dataclass(frozen=True)
class Task:
    """The smallest piece of work of a sweep: one lineage, or the beginning of an arm.

    Attributes:
        study: the arm's settings as plain values.
        folder: the arm's run folder.
        lineage: number of the lineage; None begins the arm (its record and its oracle).
        sibling: an earlier arm whose oracle, or whose first model, is the same.
        sibling_folder: its run folder.
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
        """Identifies the task in its sweep."""
        return self.arm, self.lineage

    @property
    def label(self) -> str:
        """The task's name in messages."""
        several = self.lineage is not None and self.study["lineages"] > 1
        return f"{self.arm}, lineage {self.lineage}" if several else self.arm

    @property
    def generations(self) -> int:
        """Number of models it has to train."""
        return 0 if self.lineage is None else self.study["generations"]

    def generations_done(self) -> int:
        """Number of models that are committed."""
        lineage = _lineage(self.folder, self.lineage)
        return max(lineage.generations - 1, 0) if lineage else 0

    def ready(self, ended: Mapping[Key, str | None]) -> bool:
        """Whether it can be run; `ended` has the keys of tasks that are not waited for."""
        if self.lineage is not None and (self.arm, None) not in ended:
            return False
        if self.sibling is None or (self.sibling, self.lineage) in ended:
            return True
        sibling = _lineage(self.sibling_folder, self.lineage)
        return sibling is not None and sibling.generations > 1


@dataclass(frozen=True)
class TaskResult:
    """Why a task is not done, if so, and the traceback of an unexpected exception.

    `retry` is whether a second try may succeed; not where a user must fix something.
    """

    failure: str | None = None
    trace: str = ""
    retry: bool = False


class TaskRunner:
    """Runs tasks; keeps what the lineages of an arm share from one task to the next."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self.reporter = reporter
        self.kept: tuple[Path, Run, Evaluator] | None = None

    def run(self, task: Task) -> None:
        """Runs a task, or what is left of it; `UserError` if something must be fixed first."""
        study = Study.model_validate(dict(task.study))
        if task.lineage is None:
            with folder_lock(task.folder, self.reporter.log):
                begun = begin(
                    study, task.folder, self.reporter, task.sibling_folder, task.allow_env_change
                )
            self.kept = (task.folder, *begun)
            return
        if self.kept is None or self.kept[0] != task.folder:
            self.kept = None  # two evaluators at a time would need twice the memory
            joined = join(study, task.folder, self.reporter, task.allow_env_change)
            self.kept = (task.folder, *joined)
        _, run, evaluator = self.kept
        lineage = run.lineages[task.lineage]
        with folder_lock(lineage.path, self.reporter.log):
            run_lineage(evaluator, lineage, _same_first_model(task, run))

    def attempt(self, task: Task) -> TaskResult:
        """Run a task and return its result; raises nothing but `KeyboardInterrupt`."""
        try:
            self.run(task)
        except UserError as error:
            return TaskResult(str(error))
        except Stopped as stopped:
            return TaskResult(str(stopped), retry=True)
        except Exception as error:
            self.kept = None
            why = f"{type(error).__name__}: {first_line(error)}"
            return TaskResult(why, traceback.format_exc(), retry=True)
        return TaskResult()


def tasks_of(plan: Plan, folder: Path) -> list[Task]:
    """All tasks of a sweep in the order in which they are run; each needs only earlier ones.

    First the arms, then the first lineage of each, then the second, so that the arms of an
    unfinished sweep can be compared.
    """
    studies = {arm.name: arm.study.resolved() for arm in plan.arms}
    begins, lineages = [], []
    for index, (name, study) in enumerate(studies.items()):
        earlier, task = list(studies)[:index], Task(name, study, folder / name)
        same = [e for e in earlier if _same_settings("oracle", studies[e], study)]
        begins.append(_with_sibling(task, same, folder))
        same = [e for e in earlier if _same_settings("first_model", studies[e], study)]
        for number in range(study["lineages"]):
            having = [e for e in same if number < studies[e]["lineages"]]
            lineages.append(_with_sibling(replace(task, lineage=number), having, folder))
    return begins + sorted(lineages, key=lambda task: task.lineage or 0)


def _with_sibling(task: Task, siblings: Sequence[str], folder: Path) -> Task:
    """Returns the task with the first of its siblings, if it has any."""
    if not siblings:
        return task
    return replace(task, sibling=siblings[0], sibling_folder=folder / siblings[0])


def _same_settings(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the settings that affect something are the same in two studies."""
    return all(one[k] == other[k] for k in Study.model_fields if what in setting(k).affects)


def _same_first_model(task: Task, run: Run) -> Lineage | None:
    """The sibling's lineage, if the images and the machine that decide its bits are the same."""
    sibling = _lineage(task.sibling_folder, task.lineage)
    if sibling is None or task.sibling_folder is None or sibling.generations < 2:
        return None
    mine, other = run.record, Run.open(task.sibling_folder).record
    same = mine["data"]["sha256"] == other["data"]["sha256"]
    made_with = run.lineages[task.lineage or 0].made_with
    return sibling if same and sibling.manifest(1)["made_with"] == made_with else None


def _lineage(folder: Path | None, number: int | None) -> Lineage | None:
    """The lineage of that number, if the run in the folder has begun and has so many."""
    if folder is None or number is None or not (folder / RECORD).is_file():
        return None
    lineages = Run.open(folder).lineages
    return lineages[number] if number < len(lineages) else None


def estimate_costs(plan: Plan) -> Iterator[tuple[str, Forecast]]:
    """The cost of each arm, by name; arms of the same cost are measured once."""
    tasks, profiles = tasks_of(plan, Path()), dict[str, CostProfile]()
    for arm in plan.arms:
        shared = {task.lineage for task in tasks if task.arm == arm.name and task.sibling}
        study = arm.study.resolved()
        key = json.dumps({key: study[key] for key in study if "cost" in setting(key).affects})
        profiles[key] = profiles.get(key) or measure_cost(arm.study)
        models = len(shared - {None})
        yield arm.name, forecast(arm.study, profiles[key], None in shared, models)
