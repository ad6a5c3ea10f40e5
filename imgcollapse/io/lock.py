"""A lock on a folder, so that two processes never work in the same one.

The lock is a folder `owner.lock` that holds one file, named by a random token of its owner. It
appears by one rename, which the system refuses if another's is there, and a dead owner's file is
removed by its own name. So of two processes that take over a lock one wins, and neither can take a
live one away.

Whether an owner is alive is decided by process number and start time on the same kernel, and by
flock from another container there. On another machine of a shared disk only the heartbeat in the
file decides: whoever wants the lock must see it unchanged for a time of their own monotonic clock.
No clock of another machine and no file time is used. docs/log.md says why filelock does not do.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import platform
import secrets
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic

try:
    import fcntl
except ImportError:  # Windows has none: there only the heartbeat shows whether an owner is alive
    fcntl = None

LOCK = "owner.lock"
"""The lock's folder in the locked folder."""
HEARTBEAT_SECONDS = 5.0
"""Seconds between two heartbeats."""
STALE_SECONDS = 60.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""
POLL_SECONDS = 0.1
"""Seconds between two looks at another process's lock."""

Log = Callable[[str], Any]

_held: dict[Path, Path] = {}  # locked folder => this process's file in its lock


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock, as its file records it."""

    host: str
    kernel: str  # id of the running kernel; another after a reboot
    space: str  # its process namespace; another in each container
    pid: int  # process number there
    born: str | None  # start time of the process, in ticks of that kernel; None if unknown
    since: str  # when it took the lock, for people to read
    command: str

    @classmethod
    def current(cls) -> Owner:
        """Returns this process."""
        name = Path(sys.argv[0]).name
        space = Path("/proc/self/ns/pid")
        program = {"__main__.py": "imgcollapse", "-c": "python", "": "python"}.get(name, name)
        return cls(
            host=platform.node(),
            kernel=_read("/proc/sys/kernel/random/boot_id"),
            space=str(space.readlink()) if space.is_symlink() else "",
            pid=os.getpid(),
            born=_start_time(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S%z"),
            command=shlex.join([program, *sys.argv[1:]]),
        )

    def is_alive(self, file: Path) -> bool | None:
        """Whether the process that locked a file is alive; None if only its heartbeat can tell."""
        here = Owner.current()
        if (self.host, self.kernel) != (here.host, here.kernel):
            return True if _has_flock(file) else None  # a shared disk may keep flocks per machine
        if self.space == here.space and self.born:
            return _start_time(self.pid) == self.born
        return _has_flock(file)

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def folder_lock(
    folder: Path, log: Log | None = None, wait: float = 0.0, patience: float = STALE_SECONDS
) -> Iterator[None]:
    """Locks a folder for the block. A missing folder is made, and removed again if it stays empty.

    `wait` seconds are given to a live owner to finish. `patience` seconds without a heartbeat make
    an owner elsewhere count as dead; `log` takes a line when it is watched. Folders below are free.

    Raises:
        UserError: another process holds the lock (it is named), or the folder is not writable.
    """
    with atomic.wrap_os_errors(folder):
        made = [f for f in (folder, *folder.absolute().parents) if not f.exists()]
    atomic.make_folder(folder)
    here, log = folder.resolve(), log or (lambda _: None)
    try:
        with atomic.wrap_os_errors(folder):
            claim = _claim(folder, log, time.monotonic() + wait, patience)
        done = threading.Event()
        heart = threading.Thread(target=claim.beat, args=(done,), daemon=True)
        heart.start()
        _held[here] = claim.file
        try:
            yield
        finally:
            del _held[here]
            done.set()
            heart.join()
            claim.release()
    finally:
        with suppress(OSError):  # a folder that is not empty stays
            for empty in made:
                empty.rmdir()


def assert_still_owner(folder: Path) -> None:
    """Checks that no other process has taken over a lock this process holds on the folder or above.

    That can happen if this process was stopped for longer than another one's patience.
    """
    folder = folder.resolve()
    for owned_folder in (folder, *folder.parents):
        if (file := _held.get(owned_folder)) and not file.exists():
            raise UserError(
                f"{owned_folder}: another process has taken over this run, because this one had "
                "shown no sign of life; let that one go on from what is committed"
            )


@dataclass(frozen=True)
class _Claim:
    """This process's lock file: first written aside, then moved into place."""

    aside: Path
    file: Path
    handle: FileIO

    @classmethod
    def prepare(cls, folder: Path) -> _Claim:
        """Writes the file in a folder aside, which is to become the lock."""
        token = secrets.token_hex(8)
        aside = folder.absolute() / f"owner.{token}{atomic.ASIDE}"
        aside.mkdir()
        claim = cls(aside, aside.with_name(LOCK) / token, FileIO(aside / token, "x+"))
        try:
            _take_flock(claim.handle)
            claim.handle.write(_heartbeat(0) + json.dumps(vars(Owner.current())).encode())
            os.fsync(claim.handle.fileno())
        except BaseException:
            claim.abandon()
            raise
        return claim

    def abandon(self) -> None:
        """Removes what was prepared."""
        self.handle.close()
        shutil.rmtree(self.aside, ignore_errors=True)

    def beat(self, done: threading.Event) -> None:
        """Counts upwards in the file, until `done` or until another process has removed it."""
        for count in itertools.count(1):
            if done.wait(HEARTBEAT_SECONDS) or not self.file.exists():
                return
            with suppress(OSError):  # a disk that is away for a moment
                self.handle.seek(0)
                self.handle.write(_heartbeat(count))
                os.fsync(self.handle.fileno())

    def release(self) -> None:
        """Removes the lock."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):  # another process may have taken it in between
            self.file.parent.rmdir()
        self.handle.close()


def _claim(folder: Path, log: Log, until: float, patience: float) -> _Claim:
    """Takes the lock, from a dead owner if need be."""
    claim = _Claim.prepare(folder)
    try:
        while True:
            try:
                claim.aside.rename(claim.file.parent)  # replaces an empty folder, and no other
                return claim
            except FileNotFoundError:  # the present owner removed it as an orphan
                claim.abandon()
                claim = _Claim.prepare(folder)
            except OSError as error:
                taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
                if not taken and not claim.file.parent.is_dir():
                    raise
            _remove_dead_owner(folder, claim.file.parent, log, until, patience)
    except BaseException:
        claim.abandon()
        raise


def _remove_dead_owner(folder: Path, lock: Path, log: Log, until: float, patience: float) -> None:
    """Removes a dead owner's file; waits for a live owner, but no longer than `until`."""
    files: list[Path] = []
    with suppress(FileNotFoundError):
        files = list(lock.iterdir())
    if not files:  # only an owner's file holds it, and not every disk renames over a folder
        try:
            lock.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
    for file in files:
        try:
            owner = Owner(**json.loads(file.read_bytes()[len(_heartbeat(0)) :]))
        except FileNotFoundError:
            continue  # it has released the lock
        except (ValueError, TypeError):
            raise UserError(
                f"{file}: cannot be read, so nobody knows who works in {folder}; remove {lock} "
                "if nobody does"
            ) from None
        alive = owner.is_alive(file)
        if alive is None:
            log(f"{folder}: {owner} may be gone; its heartbeat is watched for {patience:.0f} s")
            alive = _changes(file, patience)
        if not alive:
            file.unlink(missing_ok=True)
        elif not file.exists():
            continue  # it has released the lock by now
        elif time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        else:
            raise UserError(f"{folder}: {owner} is at work in it; wait for its end, or end it")


def _changes(file: Path, patience: float) -> bool:
    """Whether the heartbeat in a file changes, or the file goes, within `patience` seconds."""
    with suppress(FileNotFoundError):
        before, end = file.read_bytes(), time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(min(POLL_SECONDS, patience))
            if file.read_bytes() != before:
                return True
        return False
    return True


def _heartbeat(count: int) -> bytes:
    return b"%020d\n" % count


def _take_flock(file: FileIO) -> None:
    """Takes an flock, if the disk supports it; the kernel releases it when this process ends."""
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            atomic.tell_once(
                "this disk has no flock: if this command is killed in a container, another one "
                f"waits {STALE_SECONDS:.0f} s before it takes over"
            )


def _has_flock(path: Path) -> bool | None:
    """True if a process holds an flock on a file; None if that cannot be found out."""
    if not fcntl:
        return None
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True  # it has released the lock: look again
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look as well
        return False
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    finally:
        os.close(handle)


def _start_time(pid: int) -> str | None:
    """Start time of a process in ticks since the kernel's; None if it has ended or is unknown."""
    stat = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return stat[19] if stat and stat[0] not in "ZX" else None


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text().strip()
    return ""
