"""The files of a folder, or of a zip as if it were one; a zip is never unpacked to disk."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from imgcollapse.core.errors import UserError
from imgcollapse.data.decode import UnusableError

Parts = tuple[str, ...]
"""A path below the top, folder by folder."""


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, hidden things left out.

    Attributes:
        files: path of every file.
        folders: path of every folder that is listed, which in a zip need not be all.
        unsafe: names in a zip that point out of it; they are never read.
        read: path => content; raises `UnusableError`.
    """

    files: list[Parts]
    folders: list[Parts]
    unsafe: list[str]
    read: Callable[[Parts], bytes]


@contextmanager
def open_tree(path: Path, max_bytes: int) -> Iterator[Tree]:
    """Open a folder or a zip; a file of more than `max_bytes`, unpacked, is not read.

    Raises:
        UserError: there is no such path, or it is neither.
    """
    if path.is_dir():
        yield _folder(path, max_bytes)
    elif not path.exists():
        raise UserError(f"data.path: {path} does not exist; set it to a folder or zip of images")
    elif not zipfile.is_zipfile(path):
        raise UserError(f"data.path: {path} is neither a folder nor a whole zip file")
    else:
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"data.path: {path} is a damaged zip ({error}); get it again") from None
        with archive:
            yield _zip(archive, max_bytes)


def _folder(top: Path, max_bytes: int) -> Tree:
    def refuse(error: OSError) -> None:
        raise UserError(f"data.path: {error.filename} cannot be listed ({error.strerror})")

    def read(parts: Parts) -> bytes:
        try:
            status = top.joinpath(*parts).stat()
            if not S_ISREG(status.st_mode):
                raise UnusableError("not a regular file")
            _check_length(status.st_size, max_bytes)
            return top.joinpath(*parts).read_bytes()
        except OSError as error:
            raise UnusableError(error.strerror or str(error)) from None

    files: list[Parts] = []
    folders: list[Parts] = []
    visited: set[Path] = set()
    for place, below, names in os.walk(top, onerror=refuse, followlinks=True):
        here = Path(place)
        if (real := here.resolve()) in visited:  # a link to a folder above would never end
            below.clear()
            continue
        visited.add(real)
        below[:] = [name for name in below if not _hidden(name)]
        parts = here.relative_to(top).parts
        folders += [(*parts, name) for name in below]
        files += [(*parts, name) for name in names if not _hidden(name)]
    return Tree(files, folders, [], read)


def _zip(archive: zipfile.ZipFile, max_bytes: int) -> Tree:
    members: dict[Parts, zipfile.ZipInfo] = {}
    unsafe: list[str] = []
    for member in archive.infolist():
        parts = tuple(part for part in member.filename.split("/") if part not in ("", "."))
        if member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
            unsafe.append(member.filename)
        elif parts and not any(_hidden(part) for part in parts):
            members[parts] = member

    def read(parts: Parts) -> bytes:
        member = members[parts]
        _check_length(member.file_size, max_bytes)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnusableError("packed by another method than deflate")
        try:
            with archive.open(member) as file:
                # Asked for a length, zipfile stops there even where the header lies about it.
                return file.read(member.file_size + 1)
        except Exception as error:  # damaged or encrypted
            raise UnusableError(str(error) or type(error).__name__) from None

    files = [parts for parts, member in members.items() if not member.is_dir()]
    folders = [parts for parts, member in members.items() if member.is_dir()]
    return Tree(files, folders, unsafe, read)


def _check_length(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise UnusableError(f"{length} bytes is over data.max_bytes={max_bytes}")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
