"""The processes of one job, and how they share work.

`accelerate launch` and torchrun start a program several times. Rank 0 leads: it runs the program as
if it were alone, and only it sees the run folder. For work that can be divided it calls the others
(`on_all_processes`); all run the same code on the `current_group()`, and each does its part. When
the leader leaves the work, for a signal or an error, the others learn of it as soon as they next
need the leader.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.parallel import communicator as messages
from imgcollapse.parallel.communicator import Communicator, ConnectionLost, LeaderLeft, ProcessGroup

_ALONE = ProcessGroup()
_world: ProcessGroup = _ALONE
_current: ProcessGroup = _ALONE


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
    world = _world
    if not isinstance(world, Communicator) or _current is world:
        yield
        return
    world.send(messages.CALL, (work, arguments))
    try:
        with _set_to(world, world):
            yield
    except ConnectionLost:
        raise
    except BaseException:
        with suppress(ConnectionLost):
            world.send(messages.LEAVE)
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
    with messages.connect(size) as communicator, _set_to(communicator, _ALONE):
        if communicator.rank == 0:
            try:
                yield True
            except ConnectionLost:
                raise
            except BaseException:
                with suppress(ConnectionLost):
                    communicator.send(messages.END)
                raise
            communicator.send(messages.END)
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
        if kind == messages.END:
            return
        if kind == messages.CALL:
            work, arguments = content
            failed = _failed(work, arguments)
        elif kind == messages.LEAVE:
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
