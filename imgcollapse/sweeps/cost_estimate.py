"""Estimates what a sweep will take, before it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from imgcollapse.config.study import setting
from imgcollapse.experiment.forecast import CostProfile, Forecast, forecast, measure_cost
from imgcollapse.sweeps.plan import Arm, Plan
from imgcollapse.sweeps.tasks import tasks_of


def estimate_costs(plan: Plan) -> Iterator[tuple[str, Forecast]]:
    """The cost of each arm, by name; arms of the same cost are measured once."""
    tasks, profiles = tasks_of(plan, Path()), dict[str, CostProfile]()
    for arm in plan.arms:
        shared = {task.lineage for task in tasks if task.arm == arm.name and task.sibling}
        key = _cost_key(arm)
        profiles[key] = profiles.get(key) or measure_cost(arm.study)
        models = len(shared - {None})
        yield arm.name, forecast(arm.study, profiles[key], None in shared, models)


def _cost_key(arm: Arm) -> str:
    study = arm.study.resolved()
    return json.dumps({key: study[key] for key in study if "cost" in setting(key).affects})
