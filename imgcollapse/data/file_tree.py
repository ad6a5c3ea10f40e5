"""Lists and reads the files of a folder, or of a zip or tar without unpacking it to disk."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

from imgcollapse.core.errors import UserError
from imgcollapse.data.archives import (
    LimitExceededError,
    Limits,
    decode_names,
    is_tar,
    open_tar,
    open_zip,
    refusal_reason,
    safe_parts,
    too_large,
)
from imgcollapse.data.decode import UnusableError, map_threads
from imgcollapse.data.passed_over import Parts, PassedOver, clutter, display_path

Result = TypeVar("Result")
_BATCH_BYTES = 2**26
"""Bytes of a tar's files that are held at once."""


@dataclass
class SafeTree:
    """The files below a folder or in an archive, without clutter.

    Attributes:
        read: path => content; raises `UnusableError`.
        in_order: whether files are read fastest one after another, in the order of `files`.
        files: paths of all files.
        folders: paths of all folders that are listed; an archive need not list its folders.
        passed_over: what is never read.
        remarks: one line for each thing the user should know.
    """

    read: Callable[[Parts], bytes]
    in_order: bool = False
    files: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def map_files(
        self, files: Sequence[Parts], work: Callable[[bytes], Result]
    ) -> list[Result | str]:
        """Return `work` of each file's content, or the reason it cannot be used."""

        def attempt(step: Callable[[Any], Any], item: Any) -> Any:
            try:
                return item if isinstance(item, str) else step(item)
            except UnusableError as error:
                return str(error)

        if not self.in_order:
            return map_threads(lambda file: attempt(work, attempt(self.read, file)), files)
        place = {path: at for at, path in enumerate(self.files)}
        results: dict[int, Result | str] = {}
        contents: dict[int, bytes | str] = {}
        order = sorted(range(len(files)), key=lambda at: place[files[at]])
        for at in order:
            contents[at] = attempt(self.read, files[at])
            if at == order[-1] or sum(map(len, contents.values())) > _BATCH_BYTES:
                done = map_threads(lambda content: attempt(work, content), list(contents.values()))
                results |= dict(zip(contents, done, strict=True))
                contents.clear()
        return [results[at] for at in range(len(files))]


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


def is_archive(path: Path) -> bool:
    """Whether a path is a zip or tar file."""
    return _is(path, os.path.isfile) and (_is(path, zipfile.is_zipfile) or _is(path, is_tar))


def left_out(name: Parts | str, reason: str) -> str:
    """The remark on a file that is left out."""
    return f"{display_path(name)}: left out, {reason}"


@contextmanager
def open_tree(
    path: Path, limits: Limits, setting: str = "data.path: ", encoding: str | None = None
) -> Iterator[SafeTree]:
    """Open a folder, zip or tar.

    Args:
        path: the folder or archive.
        limits: the most that is listed and read.
        setting: prefix of error messages.
        encoding: of an archive's names, where it does not say that they are UTF-8.

    Raises:
        UserError: there is no such path, it is something else, or it exceeds a limit.
    """
    name = f"{setting}{path}"
    if not path_exists(path):
        beside = f", looked for in {Path.cwd()}" if not path.is_absolute() else ""
        raise UserError(f"{name} does not exist{beside}; set it to a folder, zip or tar of images")
    if path.is_dir():
        yield _folder_tree(path, limits, setting)
        return
    if not is_archive(path):
        raise UserError(
            f"{name} is neither a folder nor a complete zip file, tar or tar.gz; set it to one"
        )
    zipped = zipfile.is_zipfile(path)
    opening = True
    try:
        if zipped:
            with open_zip(path, limits) as archive:
                tree = _zip_tree(archive, limits, encoding)
                opening = False
                yield tree
        else:
            with open_tar(path, limits, encoding) as tar:
                tree = _archive_tree(
                    "tar", [(m.name, m.isdir(), m) for m in tar.members], tar.read, in_order=True
                )
                opening = False
                yield tree
    except LimitExceededError as error:
        raise UserError(f"{name}: {error}; raise the limit if you trust its source") from None
    except Exception as error:  # a damaged directory may raise anything
        if not opening:
            raise
        if "data.encoding" in str(error):
            raise UserError(f"{name}: {error}; set another, or leave it out") from None
        kind = "zip" if zipped else "tar"
        raise UserError(
            f"{name} is a damaged {kind} ({error}); download or pack it again"
        ) from None


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

    tree = SafeTree(read)
    circles: set[Parts] = set()
    above: dict[str, frozenset[tuple[int, int]]] = {}
    for folder, subfolders, names in os.walk(top, onerror=refuse, followlinks=True):
        here = Path(folder)
        parts = here.relative_to(top).parts
        status = here.stat()
        me = (status.st_dev, status.st_ino)
        chain = above.pop(folder, frozenset())
        if me in chain:  # a link to a folder above would never end
            subfolders.clear()
            circles.add(parts)
            tree.passed_over.append(
                PassedOver("circle", display_path(parts), "it links to a folder above")
            )
            continue
        for name in (*subfolders, *names):
            if found := clutter((name,)):
                tree.passed_over.append(
                    PassedOver(found[1], display_path((*parts, name)), found[1])
                )
        subfolders[:] = [name for name in subfolders if not clutter((name,))]
        above |= {os.path.join(folder, name): chain | {me} for name in subfolders}  # noqa: PTH118
        tree.folders += [(*parts, name) for name in subfolders]
        tree.files += [(*parts, name) for name in names if not clutter((name,))]
        if len(tree.files) + len(tree.folders) > limits.max_files:
            raise UserError(
                f"{setting}{top} holds more than max_files={limits.max_files} files; raise the "
                "limit, or name a smaller folder"
            )
    tree.folders = [parts for parts in tree.folders if parts not in circles]
    return tree


def _zip_tree(archive: zipfile.ZipFile, limits: Limits, encoding: str | None) -> SafeTree:
    def read(member: zipfile.ZipInfo) -> bytes:
        if (why := refusal_reason(member, limits)) is not None:
            raise ValueError(why)
        with archive.open(member) as file:
            # Given a length, zipfile stops there even if the header states a wrong size.
            return file.read(member.file_size + 1)

    members = archive.infolist()
    names, remark = decode_names(members, encoding)
    entries = [(n, n.endswith(("/", "\\")), m) for n, m in zip(names, members, strict=True)]
    tree = _archive_tree("zip", entries, read)
    tree.remarks += [remark] if remark else []
    return tree


def _archive_tree(
    kind: str,
    entries: Sequence[tuple[str, bool, Any]],
    read_member: Callable[[Any], bytes],
    in_order: bool = False,
) -> SafeTree:
    """The tree of (name, is a folder, member) of an archive."""
    members: dict[Parts, Any] = {}
    passed: dict[tuple[str, str], PassedOver] = {}

    def read(parts: Parts) -> bytes:
        try:
            return read_member(members[parts])
        except Exception as error:  # damaged
            raise UnusableError(str(error) or type(error).__name__) from None

    def refuse(kind: str, name: Parts | str, reason: str) -> None:
        shown = display_path(name)
        passed.setdefault((shown, reason), PassedOver(kind, shown, reason))

    tree = SafeTree(read, in_order)
    for name, is_folder, member in entries:
        parts = safe_parts(name)
        if parts is None:
            refuse("refused", name, f"its name points out of the {kind}")
        elif found := clutter(parts):
            refuse(found[1], found[0], found[1])
        elif parts in members:
            if not is_folder:
                refuse("refused", name, "an earlier file has the same name")
        elif parts:
            members[parts] = member
            (tree.folders if is_folder else tree.files).append(parts)
    tree.passed_over += passed.values()
    return tree
