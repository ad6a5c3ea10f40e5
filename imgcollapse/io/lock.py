"""One owner of a folder: two processes never work in the same one.

The lock is a folder `owner.lock` that holds a single file, named by its owner's nonce. It appears
by one rename, which the system refuses where another's is there, and a dead owner's file is removed
by its own name. So of two who reclaim a lock one wins, and neither can take a living one away.

Whether an owner lives is told by its process number and start time on the same kernel, and by flock
from another container there. On another machine of a shared disk it is told by the heartbeat in its
file alone: whoever wants the lock must see it stand still for a time of their own monotonic clock.
No clock of another machine and no file time is ever believed.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
import shutil
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
from imgcollapse.io.lock_owner import Owner, flock

LOCK = "owner.lock"
"""Folder in the folder owned; its one file is the owner's."""
HEARTBEAT_SECONDS = 5.0
"""Seconds between two heartbeats."""
STALE_SECONDS = 60.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""
POLL_SECONDS = 0.1
"""Seconds between two looks at somebody else's lock."""

Say = Callable[[str], Any]

_held: dict[Path, Path] = {}  # folders this process owns => its file there


@contextmanager
def folder_lock(
    folder: Path, say: Say | None = None, wait: float = 0.0, patience: float = STALE_SECONDS
) -> Iterator[None]:
    """Own a folder inside the block; it is made if it is missing, and removed if it stays empty.

    Args:
        folder: it alone, not what lies below it.
        say: is told where the heartbeat of an owner elsewhere is watched, which takes a while.
        wait: seconds to wait for a living owner to be done.
        patience: seconds without a heartbeat after which an owner elsewhere counts as dead.

    Raises:
        UserError: somebody else owns it; it says who and since when. Or it cannot be written to.
    """
    with atomic.wrap_os_errors(folder):
        made = [f for f in (folder, *folder.absolute().parents) if not f.exists()]
    atomic.make_folder(folder)
    here, say = folder.resolve(), say or (lambda _: None)
    try:
        with _claimed(folder, say, time.monotonic() + wait, patience) as claim:
            _held[here] = claim.file
            try:
                yield
            finally:
                del _held[here]
    finally:
        with suppress(OSError):  # what holds something stays
            for empty in made:
                empty.rmdir()


def assert_still_owner(folder: Path) -> None:
    """See that nobody has taken over a folder, or one above it, that this process owns.

    It may have been stopped for longer than others had the patience to wait.

    Raises:
        UserError: somebody has.
    """
    folder = folder.resolve()
    for owned_folder in (folder, *folder.parents):
        if (file := _held.get(owned_folder)) and not file.exists():
            raise UserError(
                f"{owned_folder}: another process has taken it over, for this one had shown no "
                "sign of life; leave it to that one, which goes on from what is committed"
            )


@dataclass(frozen=True)
class _Claim:
    """This process's file for a lock, and the handle whose flock and heartbeat say it lives."""

    aside: Path
    file: Path
    handle: FileIO

    @classmethod
    def prepare(cls, folder: Path) -> _Claim:
        """Write the file aside, in the folder that will be the lock."""
        nonce = secrets.token_hex(8)
        aside = folder.absolute() / f"owner.{nonce}{atomic.ASIDE}"
        aside.mkdir()
        claim = cls(aside, aside.with_name(LOCK) / nonce, FileIO(aside / nonce, "x+"))
        try:
            flock(claim.handle)
            claim.handle.write(_counted(0) + json.dumps(vars(Owner.current())).encode())
            os.fsync(claim.handle.fileno())
        except BaseException:
            claim.abandon()
            raise
        return claim

    def abandon(self) -> None:
        """Leave nothing of what was prepared."""
        self.handle.close()
        shutil.rmtree(self.aside, ignore_errors=True)

    def beat(self, done: threading.Event) -> None:
        """Count upwards in the file, until `done` or until somebody has removed it."""
        for count in itertools.count(1):
            if done.wait(HEARTBEAT_SECONDS) or not self.file.exists():
                return
            with suppress(OSError):  # a disk that is away for a moment
                self.handle.seek(0)
                self.handle.write(_counted(count))
                os.fsync(self.handle.fileno())

    def release(self) -> None:
        """Let others in."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):  # another's may have come in between
            self.file.parent.rmdir()
        self.handle.close()


@contextmanager
def _claimed(folder: Path, say: Say, until: float, patience: float) -> Iterator[_Claim]:
    with atomic.wrap_os_errors(folder):
        claim = _claim(folder, say, until, patience)
    done = threading.Event()
    heart = threading.Thread(target=claim.beat, args=(done,), daemon=True)
    heart.start()
    try:
        yield claim
    finally:
        done.set()
        heart.join()
        claim.release()


def _claim(folder: Path, say: Say, until: float, patience: float) -> _Claim:
    """Take the lock, from a dead owner if need be."""
    claim = _Claim.prepare(folder)
    try:
        while True:
            try:
                claim.aside.rename(claim.file.parent)  # over an empty folder, and over no other
                return claim
            except FileNotFoundError:  # swept as an orphan by the owner there is
                claim.abandon()
                claim = _Claim.prepare(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _make_way(folder, claim.file.parent, say, until, patience)
    except BaseException:
        claim.abandon()
        raise


def _make_way(folder: Path, lock: Path, say: Say, until: float, patience: float) -> None:
    """Remove a dead owner's file; wait for a living one's end, and no longer than `until`."""
    for file in _files(lock):
        try:
            owner = Owner(**json.loads(file.read_bytes()[len(_counted(0)) :]))
        except FileNotFoundError:
            continue  # it is done
        except (ValueError, TypeError):
            raise UserError(
                f"{file}: cannot be read, so nobody knows who works in {folder}; remove {lock} "
                "when nobody does"
            ) from None
        lives = owner.is_alive(file)
        if lives is None:
            say(f"{folder}: {owner} may be gone; its heartbeat is watched for {patience:.0f} s")
            lives = _beats(file, patience)
        if not lives:
            file.unlink(missing_ok=True)
        elif not file.exists():
            continue  # it is done by now
        elif time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        else:
            raise UserError(f"{folder}: {owner} is at work in it; wait for its end, or end it")


def _beats(file: Path, patience: float) -> bool:
    """Whether the heartbeat in a file, or the file, changes within `patience` seconds."""
    with suppress(FileNotFoundError):
        before, end = file.read_bytes(), time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(min(POLL_SECONDS, patience))
            if file.read_bytes() != before:
                return True
        return False
    return True  # gone: there may be another


def _counted(beats: int) -> bytes:
    return b"%020d\n" % beats


def _files(lock: Path) -> list[Path]:
    try:
        return list(lock.iterdir())
    except FileNotFoundError:
        return []
