"""Many studies side by side: the arms of a sweep, each a run folder of its own.

plan.py      a sweep file read into arms, and the sweep's folder
units.py     the smallest pieces of work, and what one waits for
agenda.py    which of them are waiting, done, or tried again
local.py     worker processes that take up units
ray.py       the machines of a Ray cluster that do
             ray_cluster.py connects to it, ray_task.py is what its machines do
foresee.py   what a sweep will take
board.py     how far all of them are, on a terminal or in a log
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.run_dir import Run
from imgcollapse.sweeps.cost_estimate import estimate_costs
from imgcollapse.sweeps.plan import Arm, Plan, is_sweep, load_plan, open_sweep
from imgcollapse.sweeps.process_pool import ProcessPool
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.ray import Ray
from imgcollapse.sweeps.tasks import Key, Task, tasks_of

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
    """Somebody who runs units."""

    def run(self, units: Sequence[Task], board: SweepProgress) -> Mapping[Key, str]:
        """Run units, each once it is ready; returns what failed, and why in one line."""
        ...


@dataclass(frozen=True)
class Sweep:
    """What a sweep has come to.

    Attributes:
        path: its folder.
        runs: the arms that have begun, by name.
        failures: what failed, such as "replace, lineage 2: ...", one line each.
    """

    path: Path
    runs: Mapping[str, Run]
    failures: tuple[str, ...]


def sweep(
    plan: Plan | Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    backend: Backend | None = None,
    board: SweepProgress | None = None,
    allow_env_change: bool = False,
) -> Sweep:
    """Run all arms of a sweep, or what is left of them, in the folder `out`.

    A member that fails leaves the others as they are. The result does not depend on how many work
    at a time, nor in which order.

    Args:
        plan: a `Plan`, or the path of a sweep file to read with `overrides` and `smoke`.
        out: the sweep's folder; a sweep that has begun there is resumed.
        overrides: `key=value` settings for every arm.
        smoke: apply the file's `smoke:` section.
        backend: who runs the units; none is as many processes as there are cores.
        board: told about progress; none is silent.
        allow_env_change: as in `run`.

    Raises:
        UserError: something about the file or the folder must be mended first, or another process
            works in the folder.
        Stopped: a signal has asked to stop; what is done is kept.
    """
    if not isinstance(plan, Plan):
        plan = load_plan(plan, overrides, smoke)
    out = Path(out)
    plan.check(out)
    board = board or SweepProgress(None)
    backend = backend or ProcessPool(plan.jobs())
    say = partial(print, file=board.stream) if board.stream else None
    with folder_lock(out, say):
        plan.write(out)
        units = [replace(unit, allow_env_change=allow_env_change) for unit in tasks_of(plan, out)]
        failed = backend.run(units, board)
        runs = {}
        for arm in plan.arms:
            if run := Run.find(out / arm.name, arm.study.resolved()):
                runs[arm.name] = run
                run.write_tables()
    return Sweep(out, runs, tuple(failed.values()))
