"""Faults at the k-th call that changes a disk: a kill, a torn write, or a full disk."""

from __future__ import annotations

import errno
import io
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CALLS = ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync")
"""Of `os`; opening a file for writing and writing to it are counted as well."""

Fault = Callable[[str, int], None]
"""(name of the call, its number from 1) => None where it may be made."""


@contextmanager
def faulty(fault: Fault) -> Iterator[None]:
    """Put a fault before every call that changes a disk, inside the block."""
    count, real_open = 0, io.open
    real = {name: getattr(os, name) for name in CALLS}

    def meet(name: str) -> None:
        nonlocal count
        count += 1
        fault(name, count)

    def wrapped(name: str):
        def call(*args, **kwargs):
            meet(name)
            return real[name](*args, **kwargs)

        return call

    class Written(io.FileIO):
        def write(self, data, /):
            try:
                meet("write")
            except (Killed, OSError) as fault:  # a part of it may have been written
                super().write(bytes(data)[: len(data) // 2])
                if isinstance(fault, Killed):
                    os.kill(os.getpid(), signal.SIGKILL)
                raise
            return super().write(data)

    def opened(file, mode="r", *args, **kwargs):
        if "b" not in mode or not set(mode) & set("wxa+"):
            return real_open(file, mode, *args, **kwargs)
        meet("open")
        raw = Written(file, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    for name in CALLS:
        setattr(os, name, wrapped(name))
    io.open = opened
    try:
        yield
    finally:
        io.open = real_open
        for name in CALLS:
            setattr(os, name, real[name])


class Killed(BaseException):
    """Asks for a SIGKILL after a part of a write."""


def calls_of(work: Callable[[], object]) -> list[str]:
    """The calls that a piece of work makes, in order."""
    made: list[str] = []
    with faulty(lambda name, _: made.append(name)):
        work()
    return made


def killed_at(k: int, work: Callable[[], object]) -> bool:
    """Do a piece of work in a child that SIGKILLs itself before its k-th call; whether it did.

    Where that is a write, half of it has been written.
    """

    def fault(name: str, number: int) -> None:
        if number == k:
            if name == "write":
                raise Killed
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: torch has started threads
        child = os.fork()
    if child == 0:
        try:
            with faulty(fault):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@contextmanager
def full_at(k: int, names: tuple[str, ...] = ("open", "write", "mkdir", "fsync")) -> Iterator[None]:
    """No space is left at the k-th of these calls, and from then on."""
    seen = 0

    def fault(name: str, _: int) -> None:
        nonlocal seen
        seen += name in names
        if name in names and seen >= k:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with faulty(fault):
        yield
