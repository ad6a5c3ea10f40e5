"""The machines of a Ray cluster: each unit is a task, and Ray finds it a place.

All machines work in one folder, which they must share. Ray's own retries are off: the agenda tries
again, and says so.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.ray_cluster import connect_to_ray, shared
from imgcollapse.sweeps.ray_task import Place, work
from imgcollapse.sweeps.task_queue import RETRIES, TaskQueue
from imgcollapse.sweeps.tasks import Key, Task, TaskResult

POLL = 0.5
"""Seconds between two looks at what has been said and done."""


class Ray:
    """Runs units as tasks of a Ray cluster."""

    def __init__(self, address: str = "auto", gpus: float | None = None, retries: int = RETRIES):
        """
        Args:
            address: "auto" for the cluster that is running here, "local" to start one on this
                machine, or a cluster's host:port.
            gpus: GPUs a lineage holds; fractions share one. None is 1 where the cluster has GPUs
                and the study may use them, else 0.
            retries: how often a unit that fails is tried again.
        """
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise UserError(f"--gpus: {gpus} is no share of GPUs; ask for 0.25, 1 or 2, say")
        self.address, self.gpus, self.retries = address, gpus, retries

    def run(self, units: Sequence[Task], board: SweepProgress) -> Mapping[Key, str]:
        """Run units, each once it is ready; returns what failed, and why in one line.

        Raises:
            UserError: there is no Ray or no cluster, it has no room, or a machine does not see the
                folder.
            Stopped: a signal has asked to stop, and the units under way have kept their work.
        """
        units = [_absolute(unit) for unit in units]
        agenda = TaskQueue(units, board, self.retries)
        if agenda.waiting:
            with connect_to_ray(self.address) as ray, shared(ray, agenda.waiting) as place:
                with board.over(units):
                    _Flight(ray, agenda, board, place, self.gpus).complete()
                signals.raise_if_stop_requested()
        return agenda.failures()


class _Flight:
    """A sweep's units on their way through a cluster."""

    def __init__(
        self, ray: Any, agenda: TaskQueue, board: SweepProgress, place: Place, gpus: float | None
    ) -> None:
        self.ray, self.agenda, self.board, self.place = ray, agenda, board, place
        self.gpus = gpus
        self.ear = ray.remote(_ear()).options(num_cpus=0).remote()
        self.tasks: dict[Any, Task] = {}

    def complete(self) -> None:
        """See all units to their end, or those under way to where they can stop."""
        while not signals.stop_requested() and (self.agenda.waiting or self.tasks):
            for unit in self.agenda.ready():
                self.agenda.begin(unit)
                self.tasks[self._task(unit)] = unit
            self._listen()
        if tasks := list(self.tasks):
            self.board.log(f"Stopping: {len(self.board.places)} at work keep what they have.")
            self.place.token.unlink(missing_ok=True)  # those at work look for it
            for task in tasks:
                self.ray.cancel(task, force=False)  # what has not begun does not begin
            self.ray.wait(tasks, num_returns=len(tasks))

    def _task(self, unit: Task) -> Any:
        gpus = _gpus(self.ray, unit, self.gpus)
        needs = {"num_cpus": unit.study["threads"] or 1, "num_gpus": gpus}
        task = self.ray.remote(work).options(**needs, max_retries=0, name=unit.label)
        return task.remote(unit, self.ear, self.place, gpus)

    def _listen(self) -> None:
        """Take in what is said and what has ended."""
        tasks = list(self.tasks)
        ended = []
        if tasks:
            ended, _ = self.ray.wait(tasks, num_returns=len(tasks), timeout=POLL)
        else:
            time.sleep(POLL)
        under_way = {unit.key: unit for unit in self.tasks.values()}
        for key, message in self.ray.get(self.ear.heard.remote()):
            if unit := under_way.get(key):
                if key not in self.board.places:
                    self.board.start(unit)
                self.board.update(unit, pickle.loads(message))  # noqa: S301 - our own tasks' words
        for task in ended:
            self.agenda.end(self.tasks.pop(task), self._outcome(task))

    def _outcome(self, task: Any) -> TaskResult:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            kind = type(error).__name__
            return TaskResult(f"its worker died ({kind})", str(error), again=True)


def _ear() -> type:
    """Who hears what all units say until somebody asks, an actor of the cluster.

    A class of no module, and messages as bytes: its process need not import torch.
    """

    class Ear:
        def __init__(self) -> None:
            self.said: list[tuple[Key, bytes]] = []

        def tell(self, key: Key, message: bytes) -> None:
            self.said.append((key, message))

        def heard(self) -> list[tuple[Key, bytes]]:
            said, self.said = self.said, []
            return said

    return Ear


def _absolute(unit: Task) -> Task:
    sibling = unit.sibling_folder and unit.sibling_folder.absolute()
    return replace(unit, folder=unit.folder.absolute(), sibling_folder=sibling)


def _gpus(ray: Any, unit: Task, asked: float | None) -> float:
    if unit.study["device"] == "cpu":
        return 0
    if asked is not None:
        return asked
    return 1 if ray.cluster_resources().get("GPU") else 0
