"""Runs tasks in worker processes of this machine, one task after another in each.

Workers are spawned, so that none inherits threads or a GPU's state. They ignore Ctrl-C: the parent
process stops them, and a worker whose parent is gone ends by itself.
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
from imgcollapse.sweeps.progress import MessageReporter, Step, SweepProgress
from imgcollapse.sweeps.task_queue import RETRIES, TaskQueue
from imgcollapse.sweeps.tasks import Key, Task, TaskResult, TaskRunner

POLL = 0.2
"""Seconds between two looks at whether a waiting task has become ready."""


class ProcessPool:
    """Runs so many tasks at a time, each with its share of a GPU's memory."""

    def __init__(self, jobs: int, retries: int = RETRIES) -> None:
        if jobs < 1:
            raise UserError(f"--jobs: {jobs} is too few; ask for 1 or more")
        self.jobs, self.retries = jobs, retries

    def run(self, tasks: Sequence[Task], progress: SweepProgress) -> Mapping[Key, str]:
        """Runs tasks, each once it is ready; returns what failed, and why in one line.

        Raises:
            Stopped: a signal has asked to stop, and running tasks have kept their work.
        """
        queue, workers = TaskQueue(tasks, progress, self.retries), []
        with progress.show(tasks):
            try:
                while not signals.stop_requested() and (
                    queue.waiting or any(worker.task for worker in workers)
                ):
                    self._assign(queue, workers, progress)
                    workers = _receive(workers, queue, progress)
                if signals.stop_requested():
                    _stop(workers, progress)
            finally:
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    worker.close()
        signals.raise_if_stop_requested()
        return queue.failures()

    def _assign(self, queue: TaskQueue, workers: list[_Worker], progress: SweepProgress) -> None:
        """Give every idle worker a task that is ready; start workers while there are too few."""
        if all(worker.task for worker in workers) and len(workers) == self.jobs:
            return
        for task in queue.ready():
            idle = [worker for worker in workers if worker.task is None]
            # One that knows the arm already has its images and its oracle in memory.
            idle.sort(key=lambda worker: worker.arm != task.arm)
            if not idle and len(workers) < self.jobs:
                idle = [_Worker.start(1 / self.jobs)]
                workers += idle
            if not idle:
                return
            queue.start(task)
            progress.start(task)
            idle[0].send(task)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: Task | None = None
    arm: str | None = None
    closed: bool = False

    @classmethod
    def start(cls, gpu_share: float) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, gpu_share), daemon=True)
        process.start()
        theirs.close()  # so that the worker's death ends the connection
        return cls(process, cast(Connection, ours))  # on Windows a PipeConnection

    def send(self, task: Task) -> None:
        self.task, self.arm = task, task.arm
        with suppress(OSError):  # it has died: `receive` returns that
            self.connection.send(task)

    def receive(self) -> Any:
        """Its next message, or a failed result if it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            code = self.process.exitcode
            why = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            return TaskResult(f"its process died ({why})", retry=True)

    def terminate(self) -> None:
        """Ask it to save and stop, if it is running a task."""
        if self.task and self.process.is_alive():
            self.process.terminate()

    def close(self) -> None:
        """End it; one that is running a task has some seconds to save."""
        self.terminate()
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.closed = True


def _receive(workers: list[_Worker], queue: TaskQueue, progress: SweepProgress) -> list[_Worker]:
    """Handle the messages of busy workers; returns the workers that are left."""
    for worker in _with_messages(workers, POLL):
        task, message = worker.task, worker.receive()
        if task and isinstance(message, TaskResult):
            worker.task = None
            if message.retry:  # its process has died, or ends
                worker.close()
            queue.finish(task, message)
        elif task:
            progress.update(task, message)
    return [worker for worker in workers if not worker.closed]


def _stop(workers: list[_Worker], progress: SweepProgress) -> None:
    """Ask the busy workers to save and stop, and wait for them."""
    busy = [worker for worker in workers if worker.task]
    if busy:
        progress.log_stop(len(busy))
    for worker in busy:
        worker.terminate()
    while any(worker.task for worker in busy):
        for worker in _with_messages(busy, None):
            if isinstance(worker.receive(), TaskResult):
                worker.task = None


def _with_messages(workers: list[_Worker], timeout: float | None) -> list[_Worker]:
    """Busy workers whose connection has a message or has ended."""
    busy = [worker for worker in workers if worker.task]
    ready = wait([worker.connection for worker in busy], timeout)
    return [worker for worker in busy if worker.connection in ready]


class _PipeReporter(MessageReporter):
    """Sends messages to the parent process."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, message: int | str | Step | TaskResult) -> None:
        with suppress(OSError):  # the parent is gone
            self.connection.send(message)


def _serve(connection: Connection, gpu_share: float) -> None:
    """Run task after task in a worker process, until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reporter, healthy = _PipeReporter(connection), True
    with signals.catch_signals():
        share_gpus(gpu_share)
        runner = TaskRunner(reporter)
        while healthy and not signals.stop_requested():
            try:
                task = connection.recv()
            except (EOFError, OSError):
                return
            result = runner.attempt(task)
            healthy = not result.retry  # a GPU's error, for one, stays with the process
            reporter.send(result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
