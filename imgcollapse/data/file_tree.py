"""Lists and reads the files of a folder, or of a zip without unpacking it to disk."""

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
from imgcollapse.data.safe_zip import (
    LimitExceededError,
    Limits,
    open_zip,
    refusal_reason,
    too_large,
)

Parts = tuple[str, ...]
"""A path relative to the top folder, split at its slashes."""


@dataclass(frozen=True)
class SafeTree:
    """The files below a folder or in a zip, hidden ones left out.

    Attributes:
        files: paths of all files.
        folders: paths of all folders that are listed; a zip need not list its folders.
        refused: (name, reason) of the members of a zip that are never read.
        read: path => content; raises `UnusableError`.
    """

    files: list[Parts]
    folders: list[Parts]
    refused: list[tuple[str, str]]
    read: Callable[[Parts], bytes]


def expand_home(path: Path) -> Path:
    """Replace a leading ~ by the home folder.

    Raises:
        UserError: the home folder is unknown.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(f"{path}: the folder ~ is unknown here; write the whole path") from None


def path_exists(path: Path) -> bool:
    """Whether a path exists; False also for paths that cannot be looked up."""
    return _is(path, os.path.exists)


def display_path(parts: Parts | str) -> str:
    """Format a path for a message: one printable line."""
    return one_line(parts if isinstance(parts, str) else "/".join(parts), 200)


def left_out(name: Parts | str, reason: str) -> str:
    """The remark on a file that is left out."""
    return f"{display_path(name)}: left out, {reason}"


@contextmanager
def open_tree(path: Path, limits: Limits, setting: str = "data.path: ") -> Iterator[SafeTree]:
    """Open a folder or a zip.

    Args:
        path: the folder or zip.
        limits: the most that is listed and read.
        setting: prefix of error messages.

    Raises:
        UserError: there is no such path, it is neither a folder nor a zip, or it exceeds a limit.
    """
    name = f"{setting}{path}"
    if not path_exists(path):
        raise UserError(f"{name} does not exist; set it to a folder or zip of images")
    if path.is_dir():
        yield _folder_tree(path, limits, setting)
        return
    if not _is(path, os.path.isfile) or not _is(path, zipfile.is_zipfile):
        raise UserError(f"{name} is neither a folder nor a complete zip file; set it to one")
    with _open_archive(path, name, limits) as archive:
        yield _zip_tree(archive, limits)


@contextmanager
def _open_archive(path: Path, name: str, limits: Limits) -> Iterator[zipfile.ZipFile]:
    opening = True
    try:
        with open_zip(path, limits) as archive:
            opening = False
            yield archive
    except LimitExceededError as error:
        raise UserError(f"{name}: {error}; raise the limit if you trust its source") from None
    except Exception as error:  # a damaged directory may raise anything
        if not opening:
            raise
        raise UserError(f"{name} is a damaged zip ({error}); download or pack it again") from None


def _is(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False


def _folder_tree(top: Path, limits: Limits, setting: str) -> SafeTree:
    def refuse(error: OSError) -> None:
        raise UserError(
            f"{setting}{error.filename} cannot be listed ({error.strerror}); make it readable"
        )

    def read(parts: Parts) -> bytes:
        try:
            path = top.joinpath(*parts)
            status = path.stat()
            if not S_ISREG(status.st_mode):
                raise UnusableError("not a regular file")
            if status.st_size > limits.max_bytes:
                raise UnusableError(too_large(status.st_size, limits))
            with path.open("rb") as file:
                return file.read(limits.max_bytes)
        except OSError as error:
            raise UnusableError(error.strerror or str(error)) from None

    files: list[Parts] = []
    folders: list[Parts] = []
    visited: set[Path] = set()
    for folder, subfolders, names in os.walk(top, onerror=refuse, followlinks=True):
        here = Path(folder)
        if (real := here.resolve()) in visited:  # a link to a folder above would never end
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = [name for name in subfolders if not _hidden(name)]
        parts = here.relative_to(top).parts
        folders += [(*parts, name) for name in subfolders]
        files += [(*parts, name) for name in names if not _hidden(name)]
        if len(files) + len(folders) > limits.max_files:
            raise UserError(
                f"{setting}{top} holds more than max_files={limits.max_files} files; raise the "
                "limit, or name a smaller folder"
            )
    return SafeTree(files, folders, [], read)


def _zip_tree(archive: zipfile.ZipFile, limits: Limits) -> SafeTree:
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
                refused.append((member.filename, "an earlier file has the same name"))
        else:
            members[parts] = member

    def read(parts: Parts) -> bytes:
        member = members[parts]
        if (why := refusal_reason(member, limits)) is not None:
            raise UnusableError(why)
        try:
            with archive.open(member) as file:
                # Given a length, zipfile stops there even if the header states a wrong size.
                return file.read(member.file_size + 1)
        except Exception as error:  # damaged
            raise UnusableError(str(error) or type(error).__name__) from None

    files = [parts for parts, member in members.items() if not member.is_dir()]
    folders = [parts for parts, member in members.items() if member.is_dir()]
    return SafeTree(files, folders, refused, read)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
