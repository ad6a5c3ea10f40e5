"""Opens zip and tar files from unknown sources within limits, before anything is unpacked."""

from __future__ import annotations

import gzip
import io
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

_ENTRY_MAGIC = b"PK\x01\x02"
"""First bytes of every entry in the central directory of a zip."""
_ENTRY_BYTES = 300
"""Allowed average size of an entry; most have about a hundred bytes."""
_SMALL_BYTES = 2**20
"""Members that unpack to at most this size may have any compression ratio."""
_HEADER_BYTES = 2**20
"""Most bytes that the headers of one member of a tar may take."""


@dataclass(frozen=True)
class Limits:
    """Limits on what is read of files from unknown sources.

    Attributes:
        max_bytes: of one file, unpacked.
        max_files: number of files.
        max_total: bytes of all files of an archive, unpacked.
        max_ratio: unpacked size of a zip's file, or of a whole tar, over its packed size.
    """

    max_bytes: int = 2**26
    max_files: int = 1_000_000
    max_total: int = 2**34
    max_ratio: float = 200


DEFAULT = Limits()


class LimitExceededError(Exception):
    """An archive is larger than a limit allows; the message says which."""


class _LimitedFile(io.FileIO):
    """A file that refuses to read a zip directory of more than `max_files` entries."""

    max_files: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; zipfile reads the whole directory in one call."""
        limit = self.max_files
        if limit is not None and size is not None and size > _ENTRY_BYTES * max(limit, 1000):
            raise LimitExceededError(
                f"its directory of {size:,} bytes is too long for {limit:,} files"
            )
        data = super().read(-1 if size is None else size)
        if limit is not None and (count := data.count(_ENTRY_MAGIC)) > limit:
            raise LimitExceededError(f"it holds {count:,} files, more than max_files={limit}")
        return data


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose number of members and unpacked size are within the limits.

    Raises:
        LimitExceededError: they are not.
        zipfile.BadZipFile: it is damaged.
        OSError: it cannot be read.
    """
    with _LimitedFile(path) as file:
        file.max_files = limits.max_files
        with zipfile.ZipFile(file) as archive:
            file.max_files = None
            total = sum(member.file_size for member in archive.infolist())
            if total > limits.max_total:
                raise LimitExceededError(
                    f"its files unpack to {total:,} bytes, more than max_total={limits.max_total}"
                )
            yield archive


def refusal_reason(member: zipfile.ZipInfo, limits: Limits) -> str | None:
    """The reason not to unpack a member, or None."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, and links in a zip are not followed"
    if member.flag_bits & 1:
        return "encrypted; pack it without a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by another method than deflate"  # which alone unpacks in bounded memory
    if member.file_size > limits.max_bytes:
        return too_large(member.file_size, limits)
    if member.file_size > max(_SMALL_BYTES, limits.max_ratio * member.compress_size):
        times = member.file_size // max(1, member.compress_size)
        return f"unpacks to {times:,} times its size, over data.max_ratio={limits.max_ratio:g}"
    return None


class _LimitedStream:
    """The unpacked bytes of a tar, of which a limited number is read per header and in all."""

    def __init__(self, packed: IO[bytes], stream: IO[bytes], limits: Limits) -> None:
        self.packed, self.stream, self.limits = packed, stream, limits
        self.allowance = _HEADER_BYTES

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int) -> int:
        while (step := position - self.stream.tell()) > 0:
            if self.stream is self.packed or not self.skip(min(step, 2**16)):
                break
        return self.stream.seek(position)

    def read(self, size: int) -> bytes:
        self.allowance -= size
        if self.allowance < 0:
            raise LimitExceededError("one of its headers is too long")
        return self.skip(size)

    def skip(self, size: int) -> bytes:
        data = self.stream.read(size)
        at, packed = self.stream.tell(), self.packed.tell()
        if at > max(16 * _SMALL_BYTES, self.limits.max_ratio * packed):
            limit = self.limits.max_ratio
            raise LimitExceededError(f"it unpacks to over data.max_ratio={limit:g} times its size")
        if at > self.limits.max_total + _HEADER_BYTES:
            raise LimitExceededError(f"it unpacks to more than max_total={self.limits.max_total}")
        return data


class SafeTar:
    """A tar, compressed with gzip or not, whose members are listed and read within limits."""

    def __init__(self, packed: IO[bytes], limits: Limits, encoding: str | None) -> None:
        self.limits = limits
        is_gzip = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        unpacked = cast("IO[bytes]", gzip.GzipFile(fileobj=packed) if is_gzip else packed)
        self._stream = _LimitedStream(packed, unpacked, limits)
        self._tar = tarfile.TarFile(
            fileobj=cast("IO[bytes]", self._stream), encoding=encoding or "utf-8"
        )
        self.members = self._list()

    def _list(self) -> list[tarfile.TarInfo]:
        members: list[tarfile.TarInfo] = []
        total = at = -1
        while member := self._tar.next():
            if member.size < 0 or member.offset <= at:
                raise tarfile.ReadError("a header points backwards")
            members.append(member)
            at, total = member.offset, total + member.size
            self._stream.allowance = _HEADER_BYTES
            if len(members) > self.limits.max_files:
                raise LimitExceededError(f"it holds more than max_files={self.limits.max_files}")
            if total > self.limits.max_total:
                raise LimitExceededError(
                    f"its files unpack to more than max_total={self.limits.max_total} bytes"
                )
        self._stream.seek(self._tar.offset)
        if self._stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it is cut, or one of its headers is damaged")
        while self._stream.skip(2**16):  # gzip compares its checksum at the end
            pass
        return members

    def read(self, member: tarfile.TarInfo) -> bytes:
        """The content of a regular file within the limits; others raise `ValueError`."""
        if member.issym() or member.islnk():
            raise ValueError("a link, and links in a tar are not followed")
        if not member.isreg() or member.issparse():
            raise ValueError("not a regular file")
        if member.size > self.limits.max_bytes:
            raise ValueError(too_large(member.size, self.limits))
        self._stream.seek(member.offset_data)
        self._stream.allowance = member.size
        data = self._stream.read(member.size)
        if len(data) < member.size:
            raise ValueError("truncated")
        return data


@contextmanager
def open_tar(path: Path, limits: Limits, encoding: str | None) -> Iterator[SafeTar]:
    """Open a tar or tar.gz and list its members.

    Raises:
        LimitExceededError: it exceeds a limit.
        tarfile.TarError: it is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        yield SafeTar(file, limits, encoding)


def is_tar(path: Path) -> bool:
    """Whether a file begins like a tar or like a gzip file, or is called .tar."""
    with path.open("rb") as file:
        start = file.read(512)
    return start[:2] == b"\x1f\x8b" or start[257:262] == b"ustar" or path.suffix.lower() == ".tar"


def safe_parts(name: str) -> tuple[str, ...] | None:
    """Split a member's name at slashes of either kind; None if it points out of the archive."""
    name = name.replace("\\", "/")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    outside = name.startswith("/") or ".." in parts or re.match("[A-Za-z]:(/|$)", name)
    return None if outside else parts


def decode_names(
    members: list[zipfile.ZipInfo], encoding: str | None
) -> tuple[list[str], str | None]:
    """Names of a zip's members, and a remark if their encoding is unknown.

    A name without the UTF-8 flag is in `encoding`, or else UTF-8 if possible (macOS omits it).

    Raises:
        ValueError: `encoding` does not fit the names.
    """
    names, guessed = [], ""
    for member in members:
        name = member.filename
        unmarked = not member.flag_bits & 0x800 and name == member.orig_filename
        if unmarked and not name.isascii():
            raw = member.orig_filename.encode("cp437", "replace")
            try:
                name = raw.decode(encoding or "utf-8")
            except UnicodeDecodeError:
                if encoding:
                    raise ValueError(f"data.encoding={encoding} does not fit its names") from None
                guessed = guessed or name
        names.append(name)
    remark = (
        "its names are neither ASCII nor UTF-8 and are read as cp437, so that classes may have "
        f"wrong names, such as {guessed}; set data.encoding=gbk, shift_jis, cp1252 or the like"
    )
    return names, remark if guessed else None


def too_large(size: int, limits: Limits) -> str:
    """The message for a file that is larger than the limit."""
    return f"{size} bytes is over data.max_bytes={limits.max_bytes}"
