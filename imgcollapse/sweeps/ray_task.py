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
from imgcollapse.core.progress import StudyLength
from imgcollapse.sweeps.progress import Step
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


class _ActorReporter:
    """A progress reporter that sends messages to an actor of the cluster."""

    def __init__(self) -> None:
        self.reported = 0.0

    def begin(self, key: Key, actor: Any, token: Path) -> None:
        self.key, self.actor, self.token = key, actor, token

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self._send(generation)
        self._check_token()
        signals.raise_if_stop_requested()

    def log(self, line: str) -> None:
        self._send(line)

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        if time.monotonic() - self.reported > REPORT_SECONDS:
            self.reported = time.monotonic()
            self._send(Step(stage, step, steps, loss))
            self._check_token()

    def _check_token(self) -> None:
        """Stop as by a signal if the token is gone: Ray's interrupt may be ignored here."""
        if not signals.stop_requested() and not self.token.is_file():
            signal.raise_signal(signal.SIGTERM)

    def _send(self, message: Any) -> None:
        self.actor.put.remote(self.key, pickle.dumps(message))  # the result is not waited for


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
