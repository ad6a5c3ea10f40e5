"""Files that are either whole or not there: written aside, flushed, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from imgcollapse.core.errors import UserError

ASIDE = ".tmp"
"""Suffix of what is still being written; anything so named after a crash is an orphan."""


@contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Turn a failure of the file system under `path` into one line that says what to do."""
    try:
        yield
    except OSError as error:
        mend = {
            errno.ENOSPC: "free some space and run the same command again: nothing done is lost",
            errno.EDQUOT: "free some of your quota and run the same command again",
            errno.EACCES: "choose a folder you may write to",
            errno.EPERM: "choose a folder you may write to",
            errno.EROFS: "choose a folder you may write to",
            errno.EEXIST: "a file stands where a folder is needed: choose another",
            errno.ENOTDIR: "a file stands where a folder is needed: choose another",
            errno.ENAMETOOLONG: "choose a shorter name",
            errno.ENOENT: "choose a folder that can be made",
        }.get(error.errno or 0, "see to it and run the same command again")
        raise UserError(f"{path}: {error.strerror or error}; {mend}") from None


def check_writable(path: Path) -> None:
    """See that a folder is there and can be written to, or that it can be made; writes nothing.

    Raises:
        UserError: neither.
    """
    with wrap_os_errors(path):
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(path: Path) -> Path:
    """Create a folder, and its parents where they are missing.

    Raises:
        UserError: it cannot be made.
    """
    with wrap_os_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _flush_folder(folder.parent)
    return path


def write_bytes(path: Path, data: bytes) -> str:
    """Replace a file as a whole; returns its sha256.

    Raises:
        UserError: the disk is full or the folder cannot be written to; the old file is intact.
    """
    aside = path.with_name(path.name + ASIDE)
    with wrap_os_errors(path):
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> str:
    """Replace a JSON file as a whole; returns its sha256."""
    return write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_png(path: Path, picture: Image.Image) -> str:
    """Replace a PNG file as a whole; returns its sha256."""
    data = BytesIO()
    picture.save(data, "PNG")
    return write_bytes(path, data.getvalue())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Replace a safetensors file as a whole; returns its sha256."""
    return write_bytes(path, to_bytes(tensors))


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors as the bytes of a safetensors file; the same tensors give the same bytes."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def read_json(path: Path, mend: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UserError: it cannot be read; `mend` says what to do about it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
        return value
    except (OSError, ValueError, RecursionError) as error:
        raise damaged_file_error(path, error, mend) from None


def read_tensors(path: Path, mend: str, *digests: str) -> dict[str, Tensor]:
    """Named tensors from a safetensors file, memory-mapped; raises as `read_json`.

    With `digests`, it must have one of these sha256 (`check`).
    """
    if digests:
        check(path, mend, *digests)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged_file_error(path, error, mend) from None


def check(path: Path, mend: str, *digests: str) -> None:
    """See that a file has one of the sha256 that were recorded when it was written.

    It is read once in a process, and again only if it has been touched since.

    Raises:
        UserError: it has not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            # Times say only that somebody was at the file, never that it is good.
            touched = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            seen = (path.absolute(), touched, digests)
            if seen not in _checked and _hash(file) not in digests:
                raise ValueError("damaged: its sha256 is not the one it was written with")
            _checked.add(seen)
    except (OSError, ValueError) as error:
        raise damaged_file_error(path, error, mend) from None


_checked: set[tuple[Any, ...]] = set()  # files that were good, as they were then


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that appears under its name only when the block has ended well."""
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
    """Remove what an interrupted write left in a folder."""
    with wrap_os_errors(folder):
        for orphan in folder.glob(f"*{ASIDE}"):
            if orphan.is_dir():
                shutil.rmtree(orphan)
            else:
                orphan.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The hex digest of a file."""
    with path.open("rb") as file:
        return _hash(file)


def _hash(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def damaged_file_error(path: Path, error: Exception, mend: str) -> UserError:
    """A file that cannot be read, in one line."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    reason = getattr(error, "strerror", None) or said
    return UserError(f"{path}: cannot be read ({reason}); {mend}")


def _flush_folder(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written to and not read, or any on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
