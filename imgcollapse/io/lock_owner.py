"""Who works in a folder, and whether they still live."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: there an owner is known by its heartbeat alone
    fcntl = None


@dataclass(frozen=True)
class Owner:
    """Who owns a folder.

    Attributes:
        host: the machine's name.
        kernel: which running system it is; another after a reboot.
        space: in which of its containers.
        pid: process number there.
        born: when the process began, in ticks of that kernel; None where it does not say.
        since: when it took the folder, for people to read.
        command: what it was called with.
    """

    host: str
    kernel: str
    space: str
    pid: int
    born: str | None
    since: str
    command: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        name = Path(sys.argv[0]).name
        program = {"__main__.py": "imgcollapse", "-c": "python", "": "python"}.get(name, name)
        return cls(
            host=platform.node(),
            kernel=_read("/proc/sys/kernel/random/boot_id"),
            space=_link("/proc/self/ns/pid"),
            pid=os.getpid(),
            born=_born(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S%z"),
            command=shlex.join([program, *sys.argv[1:]]),
        )

    def is_alive(self, file: Path) -> bool | None:
        """Whether it does, by what can be seen at once.

        Args:
            file: what it has held since with `hold`.

        Returns:
            None where only its heartbeat can tell.
        """
        here = Owner.current()
        if (self.host, self.kernel) != (here.host, here.kernel):
            return True if _is_held(file) else None  # a disk may keep flocks to each machine
        if self.space == here.space and self.born:
            return _born(self.pid) == self.born
        return _is_held(file)

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since})"


def flock(file: FileIO) -> None:
    """Hold an open file by flock, where the disk has such a thing: the kernel ends it with us."""
    if fcntl:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(path: Path) -> bool | None:
    """Whether somebody holds a file; None where that cannot be told."""
    if not fcntl:
        return None
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True  # it is done: look again
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look as well
        return False
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    finally:
        os.close(handle)


def _born(pid: int) -> str | None:
    """When a process began, in ticks since the kernel did; None if it has ended, or who knows."""
    stat = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return stat[19] if stat and stat[0] not in "ZX" else None


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text().strip()
    return ""


def _link(path: str) -> str:
    with suppress(OSError):
        return str(Path(path).readlink())
    return ""
