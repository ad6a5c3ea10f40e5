"""Opens zip files from unknown sources: checks their size and members before unpacking any."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ENTRY_MAGIC = b"PK\x01\x02"
"""First bytes of every entry in the central directory of a zip."""
_ENTRY_BYTES = 300
"""Allowed average size of an entry; most have about a hundred bytes."""
_SMALL_BYTES = 2**20
"""Members that unpack to at most this size may have any compression ratio."""


@dataclass(frozen=True)
class Limits:
    """Limits on what is read of files from unknown sources.

    Attributes:
        max_bytes: of one file, unpacked.
        max_files: number of files.
        max_total: bytes of all files of a zip, unpacked.
        max_ratio: unpacked size of a zip's file over its packed size.
    """

    max_bytes: int = 2**26
    max_files: int = 1_000_000
    max_total: int = 2**34
    max_ratio: float = 200


DEFAULT = Limits()


class LimitExceededError(Exception):
    """A zip is larger than a limit allows; the message says which."""


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


def too_large(size: int, limits: Limits) -> str:
    """The message for a file that is larger than the limit."""
    return f"{size} bytes is over data.max_bytes={limits.max_bytes}"
