"""Runs one task on a machine of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.device import share_gpus
from imgcollapse.core.errors import UserError
from imgcollapse.sweeps.progress import MessageReporter, Step
from imgcollapse.sweeps.tasks import Key, Task, TaskResult, TaskRunner

REPORT_SECONDS = 1.0
"""Seconds between two steps that a task reports."""


@dataclass(frozen=True)
class Workspace:
    """The folders that every machine of the cluster must see.

    Attributes:
        folder: the working folder, in which a study's relative paths are looked up.
        token: a file in the sweep's folder that exists until the sweep is to stop.
        path: `sys.path` of the machine that started the sweep.
    """

    folder: Path
    token: Path
    path: tuple[str, ...]

    def enter(self, node: str) -> None:
        """Change to the working folder.

        Raises:
            UserError: this machine does not see the folders.
        """
        if not self.token.is_file():
            raise UserError(not_shared(node, self.token.parent))
        if not self.folder.is_dir():
            raise UserError(not_shared(node, self.folder))
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
    """Run a task in a worker process of Ray."""
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


def not_shared(node: str, folder: Path) -> str:
    """The error message for a machine that does not see a folder."""
    return (
        f"{folder}: machine {node} of the cluster does not see this folder; a sweep over Ray works "
        "in one folder that all machines share under the same path: put --out, and the working "
        "folder, on a shared file system"
    )
