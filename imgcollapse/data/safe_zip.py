"""Zip files of strangers: what is in one, before anything in it is unpacked."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ENTRY = b"PK\x01\x02"
"""What every member's entry in the directory of a zip begins with."""
_ENTRY_BYTES = 300
"""Of an entry, on average over a zip; most have about a hundred."""
_SMALL_BYTES = 2**20
"""A member that unpacks to no more may be as empty as it likes."""


@dataclass(frozen=True)
class Limits:
    """How much is read of files that anybody may have made.

    Attributes:
        max_bytes: of one file, unpacked.
        max_files: files in all.
        max_total: bytes of all files of a zip, unpacked.
        max_ratio: how many times its packed size a zip's file may unpack to.
    """

    max_bytes: int = 2**26
    max_files: int = 1_000_000
    max_total: int = 2**34
    max_ratio: float = 200


DEFAULT = Limits()


class TooMuchError(Exception):
    """A zip holds more than is read; it says what."""


class _Guarded(io.FileIO):
    """A file of which no more than some bytes can be asked for at a time."""

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; zipfile reads the whole directory so, and makes an object of each."""
        if (
            self.most is not None
            and size is not None
            and size > _ENTRY_BYTES * max(self.most, 1000)
        ):
            raise TooMuchError(
                f"its directory of {size:,} bytes is too long for {self.most:,} files"
            )
        data = super().read(-1 if size is None else size)
        if self.most is not None and (count := data.count(_ENTRY)) > self.most:
            raise TooMuchError(f"it holds {count:,} files, more than max_files={self.most}")
        return data


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members are no more, and unpack to no more, than the limits say.

    Raises:
        TooMuchError: they are more.
        zipfile.BadZipFile: it is damaged.
        OSError: it cannot be read.
    """
    with _Guarded(path) as file:
        file.most = limits.max_files
        with zipfile.ZipFile(file) as archive:
            file.most = None
            total = sum(member.file_size for member in archive.infolist())
            if total > limits.max_total:
                raise TooMuchError(
                    f"its files unpack to {total:,} bytes, more than max_total={limits.max_total}"
                )
            yield archive


def unreadable(member: zipfile.ZipInfo, limits: Limits) -> str | None:
    """Why a member is not to be unpacked, or None."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, and none is followed out of a zip"
    if member.flag_bits & 1:
        return "encrypted; pack it without a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by another method than deflate"  # which alone unpacks in bounded memory
    if member.file_size > limits.max_bytes:
        return too_long(member.file_size, limits)
    if member.file_size > max(_SMALL_BYTES, limits.max_ratio * member.compress_size):
        times = member.file_size // max(1, member.compress_size)
        return f"unpacks to {times:,} times its size, over data.max_ratio={limits.max_ratio:g}"
    return None


def too_long(length: int, limits: Limits) -> str:
    """What is said of a file that is not read."""
    return f"{length} bytes is over data.max_bytes={limits.max_bytes}"
