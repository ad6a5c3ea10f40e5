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
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.device import share_gpus
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line
from imgcollapse.io import atomic
from imgcollapse.sweeps.progress import MessageReporter, Step, SweepProgress
from imgcollapse.sweeps.task_queue import RETRIES, TaskQueue
from imgcollapse.sweeps.tasks import Key, Task, TaskResult, TaskRunner

POLL = 0.5
"""Seconds between two looks at messages and results."""

LOCAL = "local"
"""The address of a cluster of this machine alone, which is started for the sweep."""

LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray stay on the loopback address of this machine, as it does on Windows and macOS."""


REPORT_SECONDS = 1.0
"""Seconds between two steps that a task reports."""


@dataclass(frozen=True)
class Workspace:
    """The folders that every machine must see: the working folder, and the sweep's with its token.

    The token is a file that exists until the sweep is to stop; `path` is `sys.path` of the machine
    that started the sweep.
    """

    folder: Path
    token: Path
    path: tuple[str, ...]

    def enter(self, node: str) -> None:
        """Changes to the working folder; `UserError` if this machine does not see both."""
        if not self.token.is_file():
            raise not_shared(node, self.token.parent)
        if not self.folder.is_dir():
            raise not_shared(node, self.folder)
        os.chdir(self.folder)
        sys.path += [entry for entry in self.path if entry not in sys.path]


class _ActorReporter(MessageReporter):
    """Sends messages to an actor of the cluster; stops the task if the token is gone."""

    def __init__(self) -> None:
        self.reported = 0.0

    def begin(self, key: Key, actor: Any, token: Path) -> None:
        self.key, self.actor, self.token = key, actor, token

    def send(self, message: int | str | Step) -> None:
        if isinstance(message, Step):
            if time.monotonic() - self.reported <= REPORT_SECONDS:
                return
            self.reported = time.monotonic()
        self.actor.put.remote(self.key, pickle.dumps(message))  # the result is not waited for
        # As by a signal, for Ray's interrupt may be ignored here.
        if not signals.stop_requested() and not self.token.is_file():
            signal.raise_signal(signal.SIGTERM)


_REPORTER = _ActorReporter()
_RUNNER = TaskRunner(_REPORTER)
"""One for each worker process: keeps what the lineages of an arm share between tasks."""


def run_task(task: Task, actor: Any, workspace: Workspace, gpus: float) -> TaskResult:
    """Runs a task in a worker process of Ray."""
    ray: Any = import_module("ray")
    _REPORTER.begin(task.key, actor, workspace.token)
    try:
        with signals.catch_signals():
            workspace.enter(ray.util.get_node_ip_address())
            share_gpus(gpus or 1)
            return _RUNNER.attempt(task)
    except UserError as error:
        return TaskResult(str(error))
    except KeyboardInterrupt:
        return TaskResult("cancelled", retry=True)


class Ray:
    """Runs tasks in a Ray cluster."""

    def __init__(self, address: str = "auto", gpus: float | None = None, retries: int = RETRIES):
        """Names a cluster: "auto" is running here, "local" is started here, others are host:port.

        A lineage holds `gpus`, of which fractions share one; None is 1 where the cluster has GPUs
        and the study may use them, else 0.
        """
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise UserError(f"--gpus: {gpus} is no share of GPUs; ask for 0.25, 1 or 2, say")
        self.address, self.gpus, self.retries = address, gpus, retries

    def run(self, tasks: Sequence[Task], progress: SweepProgress) -> Mapping[Key, str]:
        """Runs tasks, each once it is ready; returns what failed, and why in one line.

        Raises:
            UserError: there is no Ray or no cluster, its machines are too small, or one does not
                see the folder.
            Stopped: a signal has asked to stop, and running tasks have kept their work.
        """
        tasks = [_with_absolute_paths(task) for task in tasks]
        queue = TaskQueue(tasks, progress, self.retries)
        if queue.waiting:
            with (
                _connected(self.address) as ray,
                _shared(ray, queue.waiting) as workspace,
                progress.show(tasks),
            ):
                self._complete(ray, queue, workspace)
            signals.raise_if_stop_requested()
        return queue.failures()

    def _complete(self, ray: Any, queue: TaskQueue, workspace: Workspace) -> None:
        """Runs all tasks to their end, or until a signal asks to stop."""
        actor = ray.remote(_message_actor()).options(num_cpus=0).remote()
        running: dict[Any, Task] = {}  # by Ray's references
        while not signals.stop_requested() and (queue.waiting or running):
            for task in queue.ready():
                queue.start(task)
                gpus = self._gpus(ray, task)
                needs = {"num_cpus": task.study["threads"] or 1, "num_gpus": gpus}
                remote = ray.remote(run_task).options(**needs, max_retries=0, name=task.label)
                running[remote.remote(task, actor, workspace, gpus)] = task
            _receive(ray, queue, actor, running)
        if references := list(running):
            queue.progress.log_stop(len(queue.progress.running))
            workspace.token.unlink(missing_ok=True)  # running tasks look for it
            for reference in references:
                ray.cancel(reference, force=False)  # what has not begun does not begin
            ray.wait(references, num_returns=len(references))

    def _gpus(self, ray: Any, task: Task) -> float:
        if task.study["device"] == "cpu":
            return 0
        if self.gpus is not None:
            return self.gpus
        return 1 if ray.cluster_resources().get("GPU") else 0


def _receive(ray: Any, queue: TaskQueue, actor: Any, running: dict[Any, Task]) -> None:
    """Handles messages and results."""
    references, ended, progress = list(running), [], queue.progress
    if references:
        ended, _ = ray.wait(references, num_returns=len(references), timeout=POLL)
    else:
        time.sleep(POLL)
    tasks = {task.key: task for task in running.values()}
    for key, message in ray.get(actor.take.remote()):
        if task := tasks.get(key):
            if key not in progress.running:
                progress.start(task)
            progress.update(task, pickle.loads(message))  # noqa: S301 - our own tasks'
    for reference in ended:
        try:
            result = ray.get(reference)
        except ray.exceptions.RayError as error:
            why = f"its worker died ({type(error).__name__})"
            result = TaskResult(why, str(error), retry=True)
        queue.finish(running.pop(reference), result)


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
def _connected(address: str) -> Iterator[Any]:
    """Connects to a cluster; gives the module `ray`."""
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
                host, _, port = address.removeprefix("ray://").rpartition(":")
                if host and port.isdigit():  # if nobody listens, Ray would try for minutes
                    socket.create_connection((host, int(port)), timeout=10).close()
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
            raise not_shared(node["NodeManagerAddress"], token.parent)


def not_shared(node: str, folder: Path) -> UserError:
    """The error of a machine that does not see a folder."""
    return UserError(
        f"{folder}: machine {node} of the cluster does not see this folder; a sweep over Ray works "
        "in one folder that all machines share under the same path: put --out, and the working "
        "folder, on a shared file system"
    )
