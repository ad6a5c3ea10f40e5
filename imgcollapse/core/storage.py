"""Files that are either whole or not there: written aside, flushed, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
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
def explained(path: Path) -> Iterator[None]:
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
    with explained(path):
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
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file as a whole.

    Raises:
        UserError: the disk is full or the folder cannot be written to; the old file is intact.
    """
    aside = path.with_name(path.name + ASIDE)
    with explained(path):
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


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_png(path: Path, picture: Image.Image) -> None:
    """Replace a PNG file as a whole."""
    data = BytesIO()
    picture.save(data, "PNG")
    write_bytes(path, data.getvalue())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replace a safetensors file as a whole."""
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


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
        raise _damaged(path, error, mend) from None


def read_tensors(path: Path, mend: str) -> dict[str, Tensor]:
    """Named tensors from a safetensors file, memory-mapped; raises as `read_json`."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error, mend) from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that appears under its name only when the block has ended well."""
    aside = path.with_name(path.name + ASIDE)
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(aside)
    try:
        yield aside
        with explained(path):
            _flush_folder(aside)
            aside.rename(path)
            _flush_folder(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def sweep_orphans(folder: Path) -> None:
    """Remove what an interrupted write left in a folder."""
    for orphan in folder.glob(f"*{ASIDE}"):
        if orphan.is_dir():
            shutil.rmtree(orphan)
        else:
            orphan.unlink()


def sha256(path: Path) -> str:
    """The hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, error: Exception, mend: str) -> UserError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    reason = getattr(error, "strerror", None) or said
    return UserError(f"{path}: cannot be read ({reason}); {mend}")


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
