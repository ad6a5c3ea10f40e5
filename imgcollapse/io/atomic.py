"""Atomic writes: a file is written aside, flushed, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import first_line

ASIDE = ".tmp"
"""Suffix of a file that is being written; after a crash it is an orphan."""

_FORMER = ".former" + ASIDE  # suffix of a file while another takes its name
_REFUSED = errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.EBADF
_NO_REPLACING = errno.EEXIST, errno.EPERM, errno.EACCES, errno.EBUSY, *_REFUSED
_told: set[str] = set()


def tell_once(line: str) -> None:
    """Warns of what a disk cannot do, once in a command and not in each of its processes."""
    if line not in _told and multiprocessing.parent_process() is None:
        logging.getLogger("imgcollapse").warning("%s", line)
    _told.add(line)


@contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a UserError that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "fix that and run the same command again")
        raise UserError(f"{path}: {first_line(error)}; {fix}") from None


_FIXES = {
    errno.ENOSPC: "free some space and run the same command again: nothing done is lost",
    errno.EDQUOT: "free some of your quota and run the same command again",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder you may write to"),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR), "a file stands where a folder is needed: choose another"
    ),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "choose a folder that can be made",
}


def check_writable(path: Path) -> None:
    """Raises a UserError if a folder is not writable and cannot be made; writes nothing."""
    with wrap_os_errors(path):
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(path: Path) -> Path:
    """Makes a folder and its missing parents, and returns its path; a UserError if it cannot."""
    with wrap_os_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _flush_folder(folder.parent)
    return path


def write_bytes(path: Path, data: bytes) -> str:
    """Writes a file atomically and returns its sha256.

    Raises:
        UserError: the disk is full or the folder is not writable; the old file is intact.
    """
    aside = path.with_name(path.name + ASIDE)
    with wrap_os_errors(path):
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def _replace(aside: Path, path: Path) -> None:
    """Renames a file over another; on a disk that cannot, `restore` repairs what a kill leaves."""
    try:
        aside.replace(path)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not path.is_file():
            raise
        former = path.with_name(path.name + _FORMER)
        former.unlink(missing_ok=True)
        path.rename(former)
        try:
            aside.rename(path)
        except OSError:
            former.rename(path)
            raise
        former.unlink(missing_ok=True)
        tell_once(
            "this disk cannot rename over a file: a file is replaced in two steps, and the next "
            "start repairs what a kill in between leaves"
        )


def restore(path: Path) -> Path:
    """Gives a file its name back if a kill took it while it was replaced; returns the path."""
    with suppress(OSError):
        if not path.exists() and (former := path.with_name(path.name + _FORMER)).is_file():
            former.rename(path)
    return path


def write_json(path: Path, value: Any) -> str:
    """Writes a JSON file atomically and returns its sha256."""
    return write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_png(path: Path, picture: Image.Image) -> str:
    """Writes a PNG file atomically and returns its sha256."""
    data = BytesIO()
    picture.save(data, "PNG")
    return write_bytes(path, data.getvalue())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes named tensors to a safetensors file atomically and returns its sha256."""
    return write_bytes(path, to_bytes(tensors))


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Returns the bytes of a safetensors file; the same tensors give the same bytes."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """Reads a JSON object from a file; if it cannot, a UserError ends in `fix`, what to do."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
        return value
    except (OSError, ValueError, RecursionError) as error:
        raise damaged_file_error(path, error, fix) from None


def read_tensors(path: Path, fix: str, *digests: str) -> dict[str, Tensor]:
    """Maps named tensors from a safetensors file into memory; raises as `read_json`.

    With `digests`, the file must have one of these sha256 (`check`).
    """
    if digests:
        check(path, fix, *digests)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged_file_error(path, error, fix) from None


def check(path: Path, fix: str, *digests: str) -> None:
    """Checks that a file has one of the sha256 recorded when it was written, or raises a UserError.

    It is read once in a process, and again only if it has changed on disk since.
    """
    try:
        with path.open("rb") as file:
            # Times only show that a file may have changed; they never vouch for its content.
            stat = os.fstat(file.fileno())
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            seen = (path.absolute(), version, digests)
            if seen not in _checked and _hash(file) not in digests:
                raise ValueError("damaged: its sha256 is not the one it was written with")
            _checked.add(seen)
    except (OSError, ValueError) as error:
        raise damaged_file_error(path, error, fix) from None


_checked: set[tuple[Any, ...]] = set()  # path, version and sha256 of files that were intact


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a folder to fill, which gets its name when the block ends without an error."""
    aside = path.with_name(path.name + ASIDE)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield make_folder(aside)
        with wrap_os_errors(path):
            _flush_folder(aside)
            aside.rename(path)
            _flush_folder(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_orphans(folder: Path) -> None:
    """Removes the files that interrupted writes left in a folder."""
    with wrap_os_errors(folder):
        for orphan in folder.glob(f"*{ASIDE}"):
            if orphan.name.endswith(_FORMER):
                restore(orphan.with_name(orphan.name.removesuffix(_FORMER)))
            if orphan.is_dir():
                shutil.rmtree(orphan)
            else:
                orphan.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Returns the sha256 of a file, in hex digits."""
    with path.open("rb") as file:
        return _hash(file)


def _hash(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def damaged_file_error(path: Path, error: Exception, fix: str) -> UserError:
    """Returns the error of a file that cannot be read: path, reason and fix."""
    return UserError(f"{path}: cannot be read ({first_line(error)}); {fix}")


def _flush_folder(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that is not readable, or any on Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        tell_once(
            "this disk does not flush folders: a killed command loses nothing, but a power failure "
            "may lose files it has just written"
        )
    finally:
        os.close(handle)
