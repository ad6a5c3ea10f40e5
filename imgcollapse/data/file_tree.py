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
from imgcollapse.core.sanitize import one_line
from imgcollapse.data.decode import UnusableError
from imgcollapse.data.safe_zip import Limits, TooMuchError, open_zip, too_long, unreadable

Parts = tuple[str, ...]
"""A path below the top, folder by folder."""


@dataclass(frozen=True)
class SafeTree:
    """What lies below a folder, hidden things left out.

    Attributes:
        files: path of every file.
        folders: path of every folder that is listed, which in a zip need not be all.
        refused: names in a zip that are never read, and why: one points out of it, another is
            there twice.
        read: path => content; raises `UnusableError`.
    """

    files: list[Parts]
    folders: list[Parts]
    refused: list[tuple[str, str]]
    read: Callable[[Parts], bytes]


def expand_home(path: Path) -> Path:
    """The path, with ~ for somebody's home made whole.

    Raises:
        UserError: nobody knows where that is.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(f"{path}: where ~ is cannot be told here; write the whole path") from None


def display_path(parts: Parts | str) -> str:
    """A path as it can be put into a line."""
    return one_line(parts if isinstance(parts, str) else "/".join(parts), 200)


@contextmanager
def open_tree(path: Path, limits: Limits) -> Iterator[SafeTree]:
    """Open a folder or a zip.

    Raises:
        UserError: there is no such path, it is neither, or it holds more than the limits say.
    """
    name = f"data.path: {path}"
    if not _is(path, os.path.exists):
        raise UserError(f"{name} does not exist; set it to a folder or zip of images")
    if path.is_dir():
        yield _folder(path, limits)
        return
    if not _is(path, os.path.isfile) or not _is(path, zipfile.is_zipfile):
        raise UserError(f"{name} is neither a folder nor a whole zip file; name one of these")
    with _opened(path, name, limits) as archive:
        yield _zip(archive, limits)


@contextmanager
def _opened(path: Path, name: str, limits: Limits) -> Iterator[zipfile.ZipFile]:
    opening = True
    try:
        with open_zip(path, limits) as archive:
            opening = False
            yield archive
    except TooMuchError as error:
        raise UserError(f"{name}: {error}; raise the limit if you know where it is from") from None
    except Exception as error:  # a damaged directory may raise anything
        if not opening:
            raise
        raise UserError(f"{name} is a damaged zip ({error}); get it again") from None


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False


def _folder(top: Path, limits: Limits) -> SafeTree:
    def refuse(error: OSError) -> None:
        raise UserError(f"data.path: {error.filename} cannot be listed ({error.strerror})")

    def read(parts: Parts) -> bytes:
        try:
            path = top.joinpath(*parts)
            status = path.stat()
            if not S_ISREG(status.st_mode):
                raise UnusableError("not a regular file")
            if status.st_size > limits.max_bytes:
                raise UnusableError(too_long(status.st_size, limits))
            with path.open("rb") as file:
                return file.read(limits.max_bytes)
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
        if len(files) + len(folders) > limits.max_files:
            raise UserError(
                f"data.path: {top} holds more than max_files={limits.max_files} files; raise the "
                "limit, or name a smaller folder"
            )
    return SafeTree(files, folders, [], read)


def _zip(archive: zipfile.ZipFile, limits: Limits) -> SafeTree:
    members: dict[Parts, zipfile.ZipInfo] = {}
    refused: list[tuple[str, str]] = []
    for member in archive.infolist():
        parts = tuple(part for part in member.filename.split("/") if part not in ("", "."))
        if member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
            refused.append((member.filename, "its name points out of the zip"))
        elif not parts or any(_hidden(part) for part in parts):
            continue
        elif parts in members:
            if not member.is_dir():
                refused.append((member.filename, "another file of this name is there before it"))
        else:
            members[parts] = member

    def read(parts: Parts) -> bytes:
        member = members[parts]
        if (why := unreadable(member, limits)) is not None:
            raise UnusableError(why)
        try:
            with archive.open(member) as file:
                # Asked for a length, zipfile stops there even where the header lies about it.
                return file.read(member.file_size + 1)
        except Exception as error:  # damaged
            raise UnusableError(str(error) or type(error).__name__) from None

    files = [parts for parts, member in members.items() if not member.is_dir()]
    folders = [parts for parts, member in members.items() if member.is_dir()]
    return SafeTree(files, folders, refused, read)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
