"""Runs tasks on the machines of a Ray cluster.

All machines work in one folder, which they must share. Ray's own retries are off: the task queue
tries again, and logs it.
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
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line
from imgcollapse.io import atomic
from imgcollapse.sweeps.progress import SweepProgress
from imgcollapse.sweeps.ray_task import Workspace, not_shared, run_task
from imgcollapse.sweeps.task_queue import RETRIES, TaskQueue
from imgcollapse.sweeps.tasks import Key, Task, TaskResult

POLL = 0.5
"""Seconds between two looks at messages and results."""

LOCAL = "local"
"""The address of a cluster of this machine alone, which is started for the sweep."""

LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray stay on the loopback address of this machine, as it does on Windows and macOS."""


class Ray:
    """Runs tasks in a Ray cluster."""

    def __init__(self, address: str = "auto", gpus: float | None = None, retries: int = RETRIES):
        """
        Args:
            address: "auto" for the cluster that is running here, "local" to start one on this
                machine, or a cluster's host:port.
            gpus: GPUs a lineage holds; fractions share one. None is 1 where the cluster has GPUs
                and the study may use them, else 0.
            retries: how often a failed task is tried again.
        """
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise UserError(f"--gpus: {gpus} is no share of GPUs; ask for 0.25, 1 or 2, say")
        self.address, self.gpus, self.retries = address, gpus, retries

    def run(self, tasks: Sequence[Task], progress: SweepProgress) -> Mapping[Key, str]:
        """Run tasks, each once it is ready; returns what failed, and why in one line.

        Raises:
            UserError: there is no Ray or no cluster, its machines are too small, or one does not
                see the folder.
            Stopped: a signal has asked to stop, and running tasks have kept their work.
        """
        tasks = [_with_absolute_paths(task) for task in tasks]
        queue = TaskQueue(tasks, progress, self.retries)
        if queue.waiting:
            with connect_to_ray(self.address) as ray, _shared(ray, queue.waiting) as workspace:
                with progress.show(tasks):
                    _RayRun(ray, queue, progress, workspace, self.gpus).complete()
                signals.raise_if_stop_requested()
        return queue.failures()


class _RayRun:
    """The tasks of a sweep that run in a cluster, by Ray's references."""

    def __init__(
        self,
        ray: Any,
        queue: TaskQueue,
        progress: SweepProgress,
        workspace: Workspace,
        gpus: float | None,
    ) -> None:
        self.ray, self.queue, self.progress, self.workspace = ray, queue, progress, workspace
        self.gpus = gpus
        self.actor = ray.remote(_message_actor()).options(num_cpus=0).remote()
        self.running: dict[Any, Task] = {}

    def complete(self) -> None:
        """Run all tasks to their end, or until a signal asks to stop."""
        while not signals.stop_requested() and (self.queue.waiting or self.running):
            for task in self.queue.ready():
                self.queue.start(task)
                self.running[self._submit(task)] = task
            self._receive()
        if references := list(self.running):
            self.progress.log_stop(len(self.progress.running))
            self.workspace.token.unlink(missing_ok=True)  # running tasks look for it
            for reference in references:
                self.ray.cancel(reference, force=False)  # what has not begun does not begin
            self.ray.wait(references, num_returns=len(references))

    def _submit(self, task: Task) -> Any:
        gpus = self.gpus
        if task.study["device"] == "cpu":
            gpus = 0
        elif gpus is None:
            gpus = 1 if self.ray.cluster_resources().get("GPU") else 0
        needs = {"num_cpus": task.study["threads"] or 1, "num_gpus": gpus}
        remote = self.ray.remote(run_task).options(**needs, max_retries=0, name=task.label)
        return remote.remote(task, self.actor, self.workspace, gpus)

    def _receive(self) -> None:
        """Handle messages and results."""
        references, ended = list(self.running), []
        if references:
            ended, _ = self.ray.wait(references, num_returns=len(references), timeout=POLL)
        else:
            time.sleep(POLL)
        running = {task.key: task for task in self.running.values()}
        for key, message in self.ray.get(self.actor.take.remote()):
            if task := running.get(key):
                if key not in self.progress.running:
                    self.progress.start(task)
                self.progress.update(task, pickle.loads(message))  # noqa: S301 - our own tasks'
        for reference in ended:
            self.queue.finish(self.running.pop(reference), self._result(reference))

    def _result(self, reference: Any) -> TaskResult:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            kind = type(error).__name__
            return TaskResult(f"its worker died ({kind})", str(error), retry=True)


def _message_actor() -> type:
    """The class of an actor that keeps the messages of all tasks until they are taken.

    A class of no module, and messages as bytes: its process need not import torch.
    """

    class MessageActor:
        def __init__(self) -> None:
            self.messages: list[tuple[Key, bytes]] = []

        def put(self, key: Key, message: bytes) -> None:
            self.messages.append((key, message))

        def take(self) -> list[tuple[Key, bytes]]:
            messages, self.messages = self.messages, []
            return messages

    return MessageActor


def _with_absolute_paths(task: Task) -> Task:
    sibling = task.sibling_folder and task.sibling_folder.absolute()
    return replace(task, folder=task.folder.absolute(), sibling_folder=sibling)


@contextmanager
def connect_to_ray(address: str) -> Iterator[Any]:
    """Connect to a cluster; gives the module `ray`."""
    if address == LOCAL:
        os.environ |= LOOPBACK
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise UserError(
            "--ray: ray is not installed; pip install 'imgcollapse[ray]', or use --jobs"
        ) from None
    ours = not ray.is_initialized()
    if ours:
        before = [(number, signal.getsignal(number)) for number in signals.SIGNALS]
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            if address == LOCAL:
                ray.init(LOCAL, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                _check_answers(address)
                ray.init(address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--ray: no cluster at {address!r} ({first_line(error)}); start one with "
                "ray start --head, name its host:port, or use --ray local"
            ) from None
        for number, handler in before:  # Ray replaces them, and SIGTERM would be a crash
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _shared(ray: Any, tasks: Sequence[Task]) -> Iterator[Workspace]:
    """The sweep's workspace, once all machines see it and one is large enough for each task."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    most = max(node["Resources"].get("CPU", 0) for node in nodes)
    for task in tasks:
        if most < (threads := task.study["threads"] or 1):
            raise UserError(
                f"threads: {threads} are asked for and no machine of the cluster has more than "
                f"{most:g} cores; set fewer"
            )
    token = tasks[0].folder.parent / f"{secrets.token_hex(8)}{atomic.ASIDE}"
    atomic.write_bytes(token, b"a sweep is running here\n")
    try:
        _check_shared(ray, nodes, token)
        yield Workspace(Path.cwd(), token, tuple(sys.path))
    finally:
        token.unlink(missing_ok=True)


def _check_shared(ray: Any, nodes: Sequence[Mapping[str, Any]], token: Path) -> None:
    """Ask every machine whether it sees the token."""
    strategies = import_module("ray.util.scheduling_strategies")
    path = str(token)
    look = ray.remote(lambda path: Path(path).is_file())
    answers = []
    for node in nodes:
        there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers.append(look.options(num_cpus=0, scheduling_strategy=there).remote(path))
    for node, seen in zip(nodes, ray.get(answers), strict=True):
        if not seen:
            raise UserError(not_shared(node["NodeManagerAddress"], token.parent))
