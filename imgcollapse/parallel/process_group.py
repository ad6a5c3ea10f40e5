"""The processes of one job, and how they share work.

`accelerate launch` and torchrun start a program several times, as ranks 0, 1, ... of a world. Rank
0 leads: it runs the program as if it were alone, and nobody else sees the run folder. The others
follow: whenever the leader comes to work that can be divided it calls on them (`joined`), all run
the same code, and each does its part of it.

So what divides work asks for the world it runs `here`, and is written once:

    part of a batch     gradients `add_up` to those of the whole batch
    every other piece   `spread` gives all pieces to all, in order
    a clock, a disk     only the leader's counts: `agree`

The leader may drop what is being done, for a signal or an error. The others learn of it as soon as
they next need the leader, so that nobody waits for what will not come.
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
    """Processes that run the same code; a single one by default.

    Attributes:
        rank: this one's number, 0 for the leader.
        size: how many there are.
        links: between them; None of a single one.
    """

    rank: int = 0
    size: int = 1
    communicator: Communicator | None = None

    def shard(self, n: int) -> slice:
        """This process's rows of n; the parts differ by one row at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def broadcast(self, value: T) -> T:
        """The leader's value, in every process.

        Raises:
            Lost: another process has ended.
        """
        return value if self.communicator is None else self.communicator.broadcast(value)

    def all_gather(self, value: T) -> list[T]:
        """Everybody's value by rank, in every process; raises as `agree`."""
        return [value] if self.communicator is None else self.communicator.all_gather(value)

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their sums over all processes.

        The bits of the sums are the same everywhere; raises as `agree`.
        """
        if self.communicator is not None:
            self.communicator.all_reduce_sum(tensors)

    def scatter_map(self, work: Callable[[P], R], parts: Iterable[P]) -> Iterator[R]:
        """Do a piece of work for each part, each process every `size`-th; all get all, in order.

        Raises:
            UserError: one of the pieces has; then they all do.
            Lost: another process has ended.
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
_whole = _here = _ALONE


def world_group() -> ProcessGroup:
    """All processes of the job, whether or not they run the same code now."""
    return _whole


def current_group() -> ProcessGroup:
    """The processes that run this code."""
    return _here


@contextmanager
def on_all_processes(work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Inside the block the others are here too.

    Args:
        work: what they do meanwhile; it divides the same work in the same order.
        arguments: sent to them; tensors are on the CPU.

    Raises:
        Lost: another process has ended.
    """
    if _whole.communicator is None or _here is _whole:
        yield
        return
    _whole.communicator.send(CALL, (work, arguments))
    try:
        with _at(_whole):
            yield
    except ConnectionLost:
        raise
    except BaseException:
        with suppress(ConnectionLost):
            _whole.communicator.send(LEAVE)
        raise


@contextmanager
def join_process_group() -> Iterator[bool]:
    """Take this process's place in its job; gives whether it leads, once there is work for it.

    A follower comes out when the leader is done. It is deaf to signals that ask to stop: the
    leader, which hears them too, keeps what is done first.

    Raises:
        UserError: there is more than one process, and accelerate is missing.
        Lost: another process has ended.
    """
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        yield True
        return
    with connect(size) as links, _being(ProcessGroup(links.rank, links.size, links)):
        if links.rank == 0:
            try:
                yield True
            except ConnectionLost:
                raise
            except BaseException:
                with suppress(ConnectionLost):
                    links.send(END)
                raise
            links.send(END)
        else:
            for number in signals.SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            _follow(links)
            yield False


def _follow(links: Communicator) -> None:
    """Do what the leader calls for, until it has no more."""
    failed: UserError | None = None
    while True:
        kind, content = links.receive()
        if kind == END:
            return
        if kind == CALL:
            work, arguments = content
            failed = _failed(work, arguments)
        elif kind == LEAVE:
            failed = None  # the leader has the same error, and tells it
        else:
            # It waits for work that has failed, or ended, here alone.
            why = failed or "it does not do the same work as the first process"
            raise UserError(f"process {_whole.rank} of {_whole.size}: {why}")


def _failed(work: Callable[..., Any], arguments: Iterable[Any]) -> UserError | None:
    try:
        with _at(_whole), suppress(LeaderLeft):
            work(*arguments)
    except UserError as error:
        return error
    return None


@contextmanager
def _being(world: ProcessGroup) -> Iterator[None]:
    global _whole
    before, _whole = _whole, world
    try:
        yield
    finally:
        _whole = before


@contextmanager
def _at(world: ProcessGroup) -> Iterator[None]:
    global _here
    before, _here = _here, world
    try:
        yield
    finally:
        _here = before


def _outcome(work: Callable[[P], R], part: P) -> R | UserError:
    try:
        return work(part)
    except UserError as error:
        return error
