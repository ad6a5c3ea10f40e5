"""The machines of a Ray cluster: each unit is a task, and Ray finds it a place.

All machines work in one folder, which they must share. Ray's own retries are off: the agenda tries
again, and says so.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from imgcollapse.core import stop, storage
from imgcollapse.core.device import share_gpus
from imgcollapse.core.errors import UserError
from imgcollapse.study import Study
from imgcollapse.sweeps.agenda import RETRIES, Agenda
from imgcollapse.sweeps.board import Board, Step
from imgcollapse.sweeps.units import Bench, Ended, Key, Unit

POLL = 0.5
"""Seconds between two looks at what has been said and done."""

TELL_EVERY = 1.0
"""Seconds between two steps that a unit tells of."""

HERE = "local"
"""The address of a cluster of this machine alone, which is started for the sweep."""


LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray stay on the loopback address of this machine, as it does on Windows and macOS."""


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

    def run(self, units: Sequence[Unit], board: Board) -> Mapping[Key, str]:
        """Run units, each once it is ready; returns what failed, and why in one line.

        Raises:
            UserError: there is no Ray or no cluster, it has no room, or a machine does not see the
                folder.
            Stopped: a signal has asked to stop, and the units under way have kept their work.
        """
        units = [_absolute(unit) for unit in units]
        agenda = Agenda(units, board, self.retries)
        if agenda.waiting:
            with _cluster(self.address) as ray, _shared(ray, agenda.waiting) as place:
                with board.over(units):
                    _Flight(ray, agenda, board, place, self.gpus).complete()
                stop.heed()
        return agenda.failures()


@dataclass(frozen=True)
class Place:
    """Where work is done, on every machine.

    Attributes:
        folder: the working folder, in which a study's relative paths are looked up.
        token: a file in the sweep's folder that is there until the sweep is to stop.
        path: where modules are imported from.
    """

    folder: Path
    token: Path
    path: tuple[str, ...]

    def enter(self, node: str) -> None:
        """Go there.

        Raises:
            UserError: this machine does not see the folders.
        """
        if not self.token.is_file():
            raise UserError(_unseen(node, self.token.parent))
        if not self.folder.is_dir():
            raise UserError(_unseen(node, self.folder))
        os.chdir(self.folder)
        sys.path += [entry for entry in self.path if entry not in sys.path]


class _Flight:
    """A sweep's units on their way through a cluster."""

    def __init__(
        self, ray: Any, agenda: Agenda, board: Board, place: Place, gpus: float | None
    ) -> None:
        self.ray, self.agenda, self.board, self.place = ray, agenda, board, place
        self.gpus = gpus
        self.ear = ray.remote(_ear()).options(num_cpus=0).remote()
        self.tasks: dict[Any, Unit] = {}

    def complete(self) -> None:
        """See all units to their end, or those under way to where they can stop."""
        while not stop.asked() and (self.agenda.waiting or self.tasks):
            for unit in self.agenda.ready():
                self.agenda.begin(unit)
                self.tasks[self._task(unit)] = unit
            self._listen()
        if tasks := list(self.tasks):
            self.board.say(f"Stopping: {len(self.board.places)} at work keep what they have.")
            self.place.token.unlink(missing_ok=True)  # those at work look for it
            for task in tasks:
                self.ray.cancel(task, force=False)  # what has not begun does not begin
            self.ray.wait(tasks, num_returns=len(tasks))

    def _task(self, unit: Unit) -> Any:
        gpus = _gpus(self.ray, unit, self.gpus)
        needs = {"num_cpus": unit.study["threads"] or 1, "num_gpus": gpus}
        task = self.ray.remote(work).options(**needs, max_retries=0, name=unit.place)
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
                    self.board.begins(unit)
                self.board.hears(unit, pickle.loads(message))  # noqa: S301 - our own tasks' words
        for task in ended:
            self.agenda.end(self.tasks.pop(task), self._outcome(task))

    def _outcome(self, task: Any) -> Ended:
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            kind = type(error).__name__
            return Ended(f"its worker died ({kind})", str(error), again=True)


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


class _Reporter:
    """A watcher that tells the ear."""

    def __init__(self) -> None:
        self.told = 0.0

    def about(self, key: Key, ear: Any, token: Path) -> None:
        self.key, self.ear, self.token = key, ear, token

    def at(self, lineage: int, generation: int, study: Study) -> None:
        self._tell(generation)
        self._look()
        stop.heed()

    def say(self, line: str) -> None:
        self._tell(line)

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        if time.monotonic() - self.told > TELL_EVERY:
            self.told = time.monotonic()
            self._tell(Step(stage, step, steps, loss))
            self._look()

    def _look(self) -> None:
        """Stop as by a signal if the sweep is to stop: Ray's interrupt may be ignored here."""
        if not stop.asked() and not self.token.is_file():
            signal.raise_signal(signal.SIGTERM)

    def _tell(self, message: Any) -> None:
        self.ear.tell.remote(self.key, pickle.dumps(message))  # nobody waits for an answer


_REPORTER = _Reporter()
_BENCH = Bench(_REPORTER)
"""A worker process does one task after another, and keeps what an arm's lineages share."""


def work(unit: Unit, ear: Any, place: Place, gpus: float) -> Ended:
    """What a task does: a unit."""
    ray: Any = import_module("ray")
    _REPORTER.about(unit.key, ear, place.token)
    try:
        with stop.listening():
            place.enter(ray.util.get_node_ip_address())
            share_gpus(gpus or 1)
            return _BENCH.attempt(unit)
    except UserError as error:
        return Ended(str(error))
    except KeyboardInterrupt:
        return Ended("cancelled", again=True)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster."""
    if address == HERE:
        os.environ |= LOOPBACK
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise UserError(
            "--ray: ray is not installed; pip install 'imgcollapse[ray]', or use --jobs"
        ) from None
    ours = not ray.is_initialized()
    if ours:
        before = [(number, signal.getsignal(number)) for number in stop.SIGNALS]
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if address == HERE:
                ray.init(HERE, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                _knock(address)
                ray.init(address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"--ray: no cluster at {address!r} ({reason}); start one with ray start --head, "
                "name its host:port, or use --ray local"
            ) from None
        for number, handler in before:  # Ray takes them for itself, and SIGTERM would be a crash
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody answers at host:port; Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _shared(ray: Any, units: Sequence[Unit]) -> Iterator[Place]:
    """The sweep's folder, after seeing that all machines share it and have room for the units."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    for unit in units:
        _check_room(nodes, unit)
    token = units[0].folder.parent / f"{secrets.token_hex(8)}{storage.ASIDE}"
    storage.write_bytes(token, b"a sweep is running here\n")
    try:
        _check_seen(ray, nodes, token)
        yield Place(Path.cwd(), token, tuple(sys.path))
    finally:
        token.unlink(missing_ok=True)


def _check_room(nodes: Sequence[Mapping[str, Any]], unit: Unit) -> None:
    threads = unit.study["threads"] or 1
    most = max(node["Resources"].get("CPU", 0) for node in nodes)
    if most < threads:
        raise UserError(
            f"threads: {threads} are asked for and no machine of the cluster has more than "
            f"{most:g} cores; set fewer"
        )


def _check_seen(ray: Any, nodes: Sequence[Mapping[str, Any]], token: Path) -> None:
    """Ask every machine whether the token is there."""
    strategies = import_module("ray.util.scheduling_strategies")
    path = str(token)
    look = ray.remote(lambda path: Path(path).is_file())
    answers = []
    for node in nodes:
        there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers.append(look.options(num_cpus=0, scheduling_strategy=there).remote(path))
    for node, seen in zip(nodes, ray.get(answers), strict=True):
        if not seen:
            raise UserError(_unseen(node["NodeManagerAddress"], token.parent))


def _unseen(node: str, folder: Path) -> str:
    return (
        f"{folder}: machine {node} of the cluster does not see this folder; a sweep over Ray works "
        "in one folder that all machines share under the same path: put --out, and the working "
        "folder, on a shared file system"
    )


def _absolute(unit: Unit) -> Unit:
    sibling = unit.sibling_folder and unit.sibling_folder.absolute()
    return replace(unit, folder=unit.folder.absolute(), sibling_folder=sibling)


def _gpus(ray: Any, unit: Unit, asked: float | None) -> float:
    if unit.study["device"] == "cpu":
        return 0
    if asked is not None:
        return asked
    return 1 if ray.cluster_resources().get("GPU") else 0
