"""Runs many studies side by side: the arms of a sweep, each with a run folder of its own.

plan.py           reads a sweep file into arms; the sweep's folder
tasks.py          the tasks of a sweep, what each waits for, its cost, and how one is run
task_queue.py     tasks that wait, are done, or are tried again
process_pool.py   runs tasks in worker processes of this machine
ray.py            runs tasks on the machines of a Ray cluster
progress.py       progress of all tasks, on a terminal or in a log
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from imgcollapse.core.sanitize import with_home
from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.run_dir import Run
from imgcollapse.sweeps.plan import Arm, Plan, is_sweep, load_plan, open_sweep
from imgcollapse.sweeps.process_pool import ProcessPool
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.ray import Ray
from imgcollapse.sweeps.tasks import Key, Task, estimate_costs, tasks_of

__all__ = [
    "Arm",
    "Plan",
    "ProcessPool",
    "Ray",
    "Sweep",
    "SweepProgress",
    "estimate_costs",
    "is_sweep",
    "load_plan",
    "open_sweep",
    "sweep",
]


class Backend(Protocol):
    """Runs the tasks of a sweep."""

    def run(self, tasks: Sequence[Task], progress: SweepProgress) -> Mapping[Key, str]:
        """Runs tasks, each once it is ready; returns what failed, and why in one line."""
        ...


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep: its folder, the arms that have begun, and a line for each failure."""

    path: Path
    runs: Mapping[str, Run]
    failures: tuple[str, ...]


def sweep(
    plan: Plan | Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    backend: Backend | None = None,
    progress: SweepProgress | None = None,
    allow_env_change: bool = False,
) -> Sweep:
    """Run all arms of a sweep, or what is left of them, in the folder `out`.

    An arm that fails leaves the others as they are. The result does not depend on how many tasks
    run at a time, nor in which order.

    Args:
        plan: a `Plan`, or the path of a sweep file to read with `overrides` and `smoke`.
        out: the sweep's folder; a sweep that has begun there is resumed.
        overrides, smoke, allow_env_change: as in `run`, for every arm.
        backend: runs the tasks; None is as many processes as there are cores.
        progress: None is silent.

    Raises:
        UserError: something about the file or the folder must be fixed first, or another process
            works in the folder.
        Stopped: a signal has asked to stop; what is done is kept.
    """
    if not isinstance(plan, Plan):
        plan = load_plan(plan, overrides, smoke)
    out = with_home(out)
    plan.check(out)
    progress = progress or SweepProgress(None)
    backend = backend or ProcessPool(plan.jobs())
    log = partial(print, file=progress.stream) if progress.stream else None
    with folder_lock(out, log):
        plan.write(out)
        tasks = [replace(task, allow_env_change=allow_env_change) for task in tasks_of(plan, out)]
        failures = backend.run(tasks, progress)
        begun = {arm.name: Run.find(out / arm.name, arm.study.resolved()) for arm in plan.arms}
        runs = {name: run for name, run in begun.items() if run}
        for run in runs.values():
            run.write_tables()
    return Sweep(out, runs, tuple(failures.values()))
