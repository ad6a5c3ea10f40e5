"""What a unit does on whatever machine of a Ray cluster it has come to."""

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

TELL_EVERY = 1.0
"""Seconds between two steps that a unit tells of."""


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
            raise UserError(unseen(node, self.token.parent))
        if not self.folder.is_dir():
            raise UserError(unseen(node, self.folder))
        os.chdir(self.folder)
        sys.path += [entry for entry in self.path if entry not in sys.path]


class _Reporter:
    """A watcher that tells the ear."""

    def __init__(self) -> None:
        self.told = 0.0

    def about(self, key: Key, ear: Any, token: Path) -> None:
        self.key, self.ear, self.token = key, ear, token

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self._tell(generation)
        self._look()
        signals.raise_if_stop_requested()

    def log(self, line: str) -> None:
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
        if not signals.stop_requested() and not self.token.is_file():
            signal.raise_signal(signal.SIGTERM)

    def _tell(self, message: Any) -> None:
        self.ear.tell.remote(self.key, pickle.dumps(message))  # nobody waits for an answer


_REPORTER = _Reporter()
_BENCH = TaskRunner(_REPORTER)
"""A worker process does one task after another, and keeps what an arm's lineages share."""


def work(unit: Task, ear: Any, place: Place, gpus: float) -> TaskResult:
    """What a task does: a unit."""
    ray: Any = import_module("ray")
    _REPORTER.about(unit.key, ear, place.token)
    try:
        with signals.catch_signals():
            place.enter(ray.util.get_node_ip_address())
            share_gpus(gpus or 1)
            return _BENCH.attempt(unit)
    except UserError as error:
        return TaskResult(str(error))
    except KeyboardInterrupt:
        return TaskResult("cancelled", again=True)


def unseen(node: str, folder: Path) -> str:
    """That a machine does not see a folder, and what to do."""
    return (
        f"{folder}: machine {node} of the cluster does not see this folder; a sweep over Ray works "
        "in one folder that all machines share under the same path: put --out, and the working "
        "folder, on a shared file system"
    )
