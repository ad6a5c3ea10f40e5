"""What a sweep will take, before it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from imgcollapse.config.study import setting
from imgcollapse.experiment.forecast import CostProfile, Forecast, forecast, measure_cost
from imgcollapse.sweeps.plan import Arm, Plan
from imgcollapse.sweeps.tasks import tasks_of


def estimate_costs(plan: Plan) -> Iterator[tuple[str, Forecast]]:
    """What each arm takes, by name; arms that cost alike are tried once, shared work is shared."""
    units, tried = tasks_of(plan, Path()), dict[str, CostProfile]()
    for arm in plan.arms:
        mine = [unit for unit in units if unit.arm == arm.name]
        shared = {unit.lineage for unit in mine if unit.sibling}
        alike = _cost(arm)
        tried[alike] = tried.get(alike) or measure_cost(arm.study)
        models = len(shared - {None})
        yield arm.name, forecast(arm.study, tried[alike], None in shared, models)


def _cost(arm: Arm) -> str:
    study = arm.study.resolved()
    return json.dumps({key: study[key] for key in study if "cost" in setting(key).affects})
