"""Worker processes on this machine: each takes up one unit after another.

They are spawned, so that none inherits threads or a GPU's state. They are deaf to Ctrl-C: the one
who started them stops them, and a worker whose starter is gone ends by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from imgcollapse.core.errors import UserError
from imgcollapse.study import Study
from imgcollapse.sweeps.board import Board, Step
from imgcollapse.sweeps.units import Bench, Key, Unit

POLL = 0.2
"""Seconds between two looks at whether a unit that waits has become ready."""


class Local:
    """Runs units in processes of this machine."""

    def __init__(self, jobs: int) -> None:
        """
        Args:
            jobs: units at a time.
        """
        if jobs < 1:
            raise UserError(f"--jobs: {jobs} is too few; ask for 1 or more")
        self.jobs = jobs

    def run(self, units: Sequence[Unit], board: Board) -> Mapping[Key, str]:
        """Run units, each once it is ready; returns what failed, and why in one line."""
        waiting, workers = _left(units), []
        ended: dict[Key, str | None] = {u.key: None for u in units if u not in waiting}
        with board.over(units):
            try:
                while waiting or any(worker.unit for worker in workers):
                    _drop(waiting, ended)
                    self._hand_out(waiting, ended, workers, board)
                    busy = [worker for worker in workers if worker.unit]
                    for connection in wait([worker.connection for worker in busy], POLL):
                        worker = next(w for w in busy if w.connection is connection)
                        _hear(worker, ended, board)
                    workers = [worker for worker in workers if not worker.dead]
            finally:
                for worker in workers:
                    worker.stop()
        return {key: why for key, why in ended.items() if why is not None}

    def _hand_out(
        self,
        waiting: list[Unit],
        ended: Mapping[Key, str | None],
        workers: list[_Worker],
        board: Board,
    ) -> None:
        """Give every free worker a unit that is ready; start workers while there are too few."""
        for unit in [unit for unit in waiting if unit.ready(ended)]:
            free = [worker for worker in workers if worker.unit is None]
            # One that knows the arm already has its images and its oracle at hand.
            free.sort(key=lambda worker: worker.arm != unit.arm)
            if not free and len(workers) < self.jobs:
                free = [_Worker.start()]
                workers += free
            if not free:
                return
            waiting.remove(unit)
            board.begins(unit)
            free[0].take(unit)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    unit: Unit | None = None
    arm: str | None = None
    dead: bool = False

    @classmethod
    def start(cls) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # so that its end is noticed
        return cls(process, cast(Connection, ours))  # on Windows its twin, a PipeConnection

    def take(self, unit: Unit) -> None:
        self.unit, self.arm = unit, unit.arm
        with suppress(OSError):  # it has died: that is heard as the end of the connection
            self.connection.send(unit)

    def stop(self) -> None:
        self.process.terminate()  # what is half written is swept when the sweep goes on
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


def _left(units: Sequence[Unit]) -> list[Unit]:
    """Lineages that have not come to their end, and the beginnings of their arms."""
    unborn = [u for u in units if u.lineage is not None and u.generations_done() < u.generations]
    arms = {unit.arm for unit in unborn}
    return [u for u in units if u in unborn or (u.lineage is None and u.arm in arms)]


def _drop(waiting: list[Unit], ended: dict[Key, str | None]) -> None:
    """Lineages of an arm that could not begin will not live; the arm has been named once."""
    for unit in list(waiting):
        if unit.lineage is not None and ended.get((unit.arm, None)) is not None:
            waiting.remove(unit)
            ended[unit.key] = None


def _hear(worker: _Worker, ended: dict[Key, str | None], board: Board) -> None:
    """Take in one message of a worker, or its death."""
    unit = worker.unit
    if unit is None:
        return
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.stop()
        worker.dead, code = True, worker.process.exitcode
        message = _Ended(f"its process died ({_cause(code)}); the same command goes on", "")
    if isinstance(message, _Ended):
        failure = f"{unit.place}: {message.failure}" if message.failure else None
        worker.unit, ended[unit.key] = None, failure
        board.ends(unit, failure, message.trace)
    else:
        board.hears(unit, message)


def _cause(code: int | None) -> str:
    return signal.Signals(-code).name if code and code < 0 else f"exit code {code}"


@dataclass(frozen=True)
class _Ended:
    """A unit is done; `failure` says in one line why not."""

    failure: str | None
    trace: str


class _Reporter:
    """A watcher that tells the one who started this process."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def at(self, lineage: int, generation: int, study: Study) -> None:
        self.connection.send(generation)

    def say(self, line: str) -> None:
        self.connection.send(line)

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        self.connection.send(Step(stage, step, steps, loss))


def _serve(connection: Connection) -> None:
    """What a worker does: unit after unit, until it is stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    bench = Bench(_Reporter(connection))
    while True:
        unit, failure, trace = connection.recv(), None, ""
        try:
            bench.work(unit)
        except UserError as error:
            failure = str(error)
        except Exception as error:
            lines = str(error).splitlines() or [""]
            failure, trace = f"{type(error).__name__}: {lines[0]}", traceback.format_exc()
        connection.send(_Ended(failure, trace))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
