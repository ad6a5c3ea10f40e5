"""The processes of one job, and how they share work.

`accelerate launch` and torchrun start a program several times, as ranks 0, 1, ... Rank 0 leads: it
runs the program as if it were alone, and only it sees the run folder. When it comes to work that
can be divided it calls the others (`on_all_processes`); all run the same code, and each does its
part. Code that divides work asks for the `current_group()` and is written once: gradients of parts
of a batch are summed (`all_reduce_sum`), batches are done in turn (`scatter_map`), and of clocks
and disks only the leader's count (`broadcast`).

When the leader leaves the work, for a signal or an error, the others learn of it as soon as they
next need the leader.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from torch import Tensor

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.parallel.communicator import (
    CALL,
    END,
    LEAVE,
    Communicator,
    ConnectionLost,
    LeaderLeft,
    connect,
)

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """A group of processes that run the same code; a single one by default."""

    rank: int = 0  # this process's number, 0 for the leader
    size: int = 1  # the number of processes
    communicator: Communicator | None = None  # connects them; None for a single one

    def shard(self, n: int) -> slice:
        """Returns this process's rows of n; the shares differ by one row at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def broadcast(self, value: T) -> T:
        """Returns the leader's value everywhere; raises `ConnectionLost` for an ended process."""
        return value if self.communicator is None else self.communicator.broadcast(value)

    def all_gather(self, value: T) -> list[T]:
        """Returns all processes' values by rank, in every process; raises as `broadcast`."""
        return [value] if self.communicator is None else self.communicator.all_gather(value)

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors of one type and device by their sums over all processes.

        The sums have the same bits everywhere; raises as `broadcast`.
        """
        if self.communicator is not None:
            self.communicator.all_reduce_sum(tensors)

    def scatter_map(self, work: Callable[[P], R], parts: Iterable[P]) -> Iterator[R]:
        """Yields the work's result for each part, in order; each process does every `size`-th.

        A `UserError` of one part is raised by all processes; else raises as `broadcast`.
        """
        rest = iter(parts)
        while turn := list(islice(rest, self.size)):
            mine = turn[self.rank :][:1]
            for outcome in self.all_gather([_outcome(work, part) for part in mine]):
                for result in outcome:
                    if isinstance(result, UserError):
                        raise result
                    yield result


_ALONE = ProcessGroup()
_world = _current = _ALONE


def world_group() -> ProcessGroup:
    """Returns all processes of the job, whether or not they run the same code now."""
    return _world


def current_group() -> ProcessGroup:
    """Returns the processes that run this code."""
    return _current


@contextmanager
def on_all_processes(work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Runs the block on the leader while the other processes run `work`, which divides it likewise.

    The arguments are pickled and sent to them; tensors are on the CPU. Raises `ConnectionLost`.
    """
    if _world.communicator is None or _current is _world:
        yield
        return
    _world.communicator.send(CALL, (work, arguments))
    try:
        with _set_to(_world, _world):
            yield
    except ConnectionLost:
        raise
    except BaseException:
        with suppress(ConnectionLost):
            _world.communicator.send(LEAVE)
        raise


@contextmanager
def join_process_group() -> Iterator[bool]:
    """Joins this process to its job, and yields whether it leads.

    A follower enters the block when the leader is done. It ignores signals that ask to stop: the
    leader, which gets them too, saves what is done first.

    Raises:
        UserError: there is more than one process, and accelerate is missing.
        ConnectionLost: another process has ended.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        yield True
        return
    with connect(size) as communicator, _set_to(_joined(communicator), _ALONE):
        if communicator.rank == 0:
            try:
                yield True
            except ConnectionLost:
                raise
            except BaseException:
                with suppress(ConnectionLost):
                    communicator.send(END)
                raise
            communicator.send(END)
        else:
            for number in signals.SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            _follow(communicator)
            yield False


def _follow(communicator: Communicator) -> None:
    """Does the work that the leader calls for, until the job ends."""
    failed: UserError | None = None
    while True:
        kind, content = communicator.receive()
        if kind == END:
            return
        if kind == CALL:
            work, arguments = content
            failed = _failed(work, arguments)
        elif kind == LEAVE:
            failed = None  # the leader has the same error, and reports it
        else:
            # The leader waits for work that has failed, or ended, only here.
            why = failed or "it does not do the same work as the first process"
            raise UserError(f"process {_world.rank} of {_world.size}: {why}")


def _failed(work: Callable[..., Any], arguments: Iterable[Any]) -> UserError | None:
    try:
        with _set_to(_world, _world), suppress(LeaderLeft):
            work(*arguments)
    except UserError as error:
        return error
    return None


@contextmanager
def _set_to(world: ProcessGroup, current: ProcessGroup) -> Iterator[None]:
    global _world, _current
    before = _world, _current
    _world, _current = world, current
    try:
        yield
    finally:
        _world, _current = before


def _joined(communicator: Communicator) -> ProcessGroup:
    return ProcessGroup(communicator.rank, communicator.size, communicator)


def _outcome(work: Callable[[P], R], part: P) -> R | UserError:
    try:
        return work(part)
    except UserError as error:
        return error
