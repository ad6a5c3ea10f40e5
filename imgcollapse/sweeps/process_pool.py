"""Worker processes on this machine: each takes up one unit after another.

They are spawned, so that none inherits threads or a GPU's state. They are deaf to Ctrl-C: the one
who started them stops them, and a worker whose starter is gone ends by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, cast

from imgcollapse.core import signals
from imgcollapse.core.device import share_gpus
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import StudyLength
from imgcollapse.sweeps.progress import Step, SweepProgress
from imgcollapse.sweeps.task_queue import RETRIES, TaskQueue
from imgcollapse.sweeps.tasks import Key, Task, TaskResult, TaskRunner

POLL = 0.2
"""Seconds between two looks at whether a unit that waits has become ready."""


class ProcessPool:
    """Runs units in processes of this machine."""

    def __init__(self, jobs: int, retries: int = RETRIES) -> None:
        """
        Args:
            jobs: units at a time; each may take its share of a GPU's memory.
            retries: how often one that fails is tried again.
        """
        if jobs < 1:
            raise UserError(f"--jobs: {jobs} is too few; ask for 1 or more")
        self.jobs, self.retries = jobs, retries

    def run(self, units: Sequence[Task], board: SweepProgress) -> Mapping[Key, str]:
        """Run units, each once it is ready; returns what failed, and why in one line.

        Raises:
            Stopped: a signal has asked to stop, and the units under way have kept their work.
        """
        agenda, workers = TaskQueue(units, board, self.retries), []
        with board.over(units):
            try:
                while not signals.stop_requested() and (
                    agenda.waiting or any(w.unit for w in workers)
                ):
                    self._hand_out(agenda, workers, board)
                    workers = _listen(workers, agenda, board)
                if signals.stop_requested():
                    _stop(workers, board)
            finally:
                for worker in workers:
                    worker.ask()
                for worker in workers:
                    worker.end()
        signals.raise_if_stop_requested()
        return agenda.failures()

    def _hand_out(self, agenda: TaskQueue, workers: list[_Worker], board: SweepProgress) -> None:
        """Give every free worker a unit that is ready; start workers while there are too few."""
        if all(worker.unit for worker in workers) and len(workers) == self.jobs:
            return
        for unit in agenda.ready():
            free = [worker for worker in workers if worker.unit is None]
            # One that knows the arm already has its images and its oracle at hand.
            free.sort(key=lambda worker: worker.arm != unit.arm)
            if not free and len(workers) < self.jobs:
                free = [_Worker.start(1 / self.jobs)]
                workers += free
            if not free:
                return
            agenda.begin(unit)
            board.start(unit)
            free[0].take(unit)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    unit: Task | None = None
    arm: str | None = None
    dead: bool = False

    @classmethod
    def start(cls, share: float) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, share), daemon=True)
        process.start()
        theirs.close()  # so that its end is noticed
        return cls(process, cast(Connection, ours))  # on Windows its twin, a PipeConnection

    def take(self, unit: Task) -> None:
        self.unit, self.arm = unit, unit.arm
        with suppress(OSError):  # it has died: that is heard as the end of the connection
            self.connection.send(unit)

    def hear(self) -> Any:
        """Its next message; its death is one."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            return TaskResult(f"its process died ({_cause(self.process.exitcode)})", again=True)

    def ask(self) -> None:
        """If it is at work, ask it to keep what it has and stop."""
        if self.unit and self.process.is_alive():
            self.process.terminate()

    def end(self) -> None:
        """Send it home; one at work has some seconds to keep what it has."""
        self.ask()
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _listen(workers: list[_Worker], agenda: TaskQueue, board: SweepProgress) -> list[_Worker]:
    """Take in what busy workers say; returns the workers that live."""
    busy = [worker for worker in workers if worker.unit]
    for connection in wait([worker.connection for worker in busy], POLL):
        worker = next(w for w in busy if w.connection is connection)
        unit, message = worker.unit, worker.hear()
        if unit and isinstance(message, TaskResult):
            worker.unit = None
            if message.again:  # it has ended, or does
                worker.end()
                worker.dead = True
            agenda.end(unit, message)
        elif unit:
            board.update(unit, message)
    return [worker for worker in workers if not worker.dead]


def _stop(workers: list[_Worker], board: SweepProgress) -> None:
    """Ask the busy ones to keep their work and stop, and wait for them."""
    busy = [worker for worker in workers if worker.unit]
    if busy:
        board.log(f"Stopping: {len(busy)} at work keep what they have.")
    for worker in busy:
        worker.ask()
    while busy := [worker for worker in busy if worker.unit]:
        for connection in wait([worker.connection for worker in busy]):
            worker = next(w for w in busy if w.connection is connection)
            if isinstance(worker.hear(), TaskResult):
                worker.unit = None


def _cause(code: int | None) -> str:
    return signal.Signals(-code).name if code and code < 0 else f"exit code {code}"


class _Reporter:
    """A watcher that tells the one who started this process."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self.tell(generation)
        signals.raise_if_stop_requested()

    def log(self, line: str) -> None:
        self.tell(line)

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        self.tell(Step(stage, step, steps, loss))

    def tell(self, message: object) -> None:
        with suppress(OSError):  # nobody listens any more
            self.connection.send(message)


def _serve(connection: Connection, share: float) -> None:
    """What a worker does: unit after unit, until it is sent home."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reporter, healthy = _Reporter(connection), True
    with signals.catch_signals():
        share_gpus(share)
        bench = TaskRunner(reporter)
        while healthy and not signals.stop_requested():
            try:
                unit = connection.recv()
            except (EOFError, OSError):
                return
            how = bench.attempt(unit)
            healthy = not how.again  # a GPU's error, for one, stays with the process
            reporter.tell(how)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
