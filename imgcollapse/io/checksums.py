"""Files with a sha256: one that ends the file itself, or one in a record beside it.

A manifest, a run's record, a page or a line of a log ends in a checksum of all before it, because
two files cannot be replaced in one moment. Tensor files are listed with their sha256 in the record
beside them (`ChecksummedFiles`): the record first lists the new sha256 of all files to be
replaced, and until all are replaced a file may have either; a kill at any time leaves files that
load.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic, schemas


class Checksum(NamedTuple):
    """The bytes before and after the hex digits of a checksum at the end of a file or line."""

    opening: bytes
    closing: bytes

    def append(self, body: bytes) -> bytes:
        """Returns the body followed by its checksum."""
        return body + self.opening + sha256(body).hexdigest().encode() + self.closing

    def verify(self, data: bytes) -> bool:
        """Whether the data ends in a checksum, and it is that of the body before it."""
        return self.append(data[: -len(self.append(b""))]) == data


JSON_CHECKSUM = Checksum(b',\n  "checksum": "', b'"\n}\n')
LINE_CHECKSUM = Checksum(b', "checksum": "', b'"}\n')
HTML_CHECKSUM = Checksum(b"<!-- sha256 of all above: ", b" -->\n")
CHECKSUM_KEY = "checksum"
MISMATCH = "damaged, or changed by hand: its checksum is not that of its contents"
FILES, COMING = "files", "coming"
"""Keys of a record: sha256 by file name, and the sha256 of files that are being replaced."""


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object atomically, with a last key `CHECKSUM_KEY`."""
    body = json.dumps(value, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    atomic.write_bytes(path, JSON_CHECKSUM.append(body))


def read_json(path: Path, fix: str, version: int | None = None) -> dict[str, Any]:
    """Returns the JSON object that `write_json` has written, without the `CHECKSUM_KEY`.

    Its "format" must be `version`, if one is given; files of older ones may lack a checksum.

    Raises:
        UserError: it cannot be read, was changed, or is of another format; `fix` says what to do.
    """
    try:
        data = path.read_bytes()
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
        other = version is not None and value.get("format") != version
        if not JSON_CHECKSUM.verify(data) and (CHECKSUM_KEY in value or not other):
            raise ValueError(MISMATCH)
    except (OSError, ValueError, RecursionError) as error:
        raise atomic.damaged_file_error(path, error, fix) from None
    if other:
        raise UserError(
            f"{path}: format {value.get('format')} is not {version}; read it with the imgcollapse "
            "version that wrote it"
        )
    return {key: item for key, item in value.items() if key != CHECKSUM_KEY}


def strip_checksum(data: bytes) -> bytes:
    """Returns a JSON object's text without its checksum, if it has one.

    Raises:
        ValueError: the checksum is not that of the text.
    """
    if JSON_CHECKSUM.verify(data):
        return data[: -len(JSON_CHECKSUM.append(b""))] + b"\n}\n"
    if JSON_CHECKSUM.opening in data:
        raise ValueError(MISMATCH)
    return data


def write_page(path: Path, page: str) -> None:
    """Writes an HTML page atomically, with a checksum in its last line."""
    body = page if page.endswith("\n") else page + "\n"
    atomic.write_bytes(path, HTML_CHECKSUM.append(body.encode()))


def is_intact_page(path: Path) -> bool:
    """Whether an HTML page is as `write_page` has written it."""
    with atomic.wrap_os_errors(path):
        return HTML_CHECKSUM.verify(path.read_bytes())


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Appends a JSON object to a log file, as one line with a checksum."""
    body = json.dumps(value, ensure_ascii=False).removesuffix("}").encode()
    with atomic.wrap_os_errors(path), path.open("ab+") as file:
        # A line that a crash cut short is removed, so that it does not spoil this one.
        if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(LINE_CHECKSUM.append(body))


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yields the objects of a log file; None for a line that was changed."""
    with atomic.wrap_os_errors(path), path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line) if LINE_CHECKSUM.verify(line) else None
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None


def sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Returns the sha256 over named tensors, in the order of their names."""
    found = sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().numpy().data)
    return found.hexdigest()


class ChecksummedFiles:
    """The safetensors files of a folder, listed with their sha256 in a JSON record.

    The record is changed with the files, and `write` writes it.
    """

    def __init__(self, folder: Path, record: dict[str, Any], write: Callable[[], object]) -> None:
        self.folder, self.record, self.write = folder, record, write

    @property
    def replacing(self) -> bool:
        """Whether an earlier `replace` was interrupted."""
        return COMING in self.record

    def check(self, name: str, fix: str) -> Path:
        """Returns the path of a file with the right sha256; otherwise a UserError ends in `fix`."""
        digests = [self.record.get(key, {}).get(name) for key in (FILES, COMING)]
        atomic.check(self.folder / name, fix, *filter(None, digests))
        return self.folder / name

    def load(self, name: str, fix: str) -> dict[str, Tensor]:
        """Returns the tensors of a file, checked against sha256 and schema; raises as `check`."""
        tensors = atomic.read_tensors(path := self.check(name, fix), fix)
        schemas.validate_tensors(path, tensors, fix)
        return tensors

    def reconcile(self, spare: Collection[str]) -> bool:
        """Updates the record to what is on the disk; returns whether it has changed, unwritten.

        `spare` names files that are removed from the record if they are damaged.
        """
        coming, files = self.record.pop(COMING, {}), self.record[FILES]
        files |= {name: digest for name, digest in coming.items() if self._is(name, digest)}
        lost = [n for n in spare if n in files and not self._is(n, files[n])]
        for name in lost:
            del files[name]
        return bool(coming or lost)

    def replace(self, files: Mapping[str, Mapping[str, Tensor]]) -> bool:
        """Writes the files that differ from those on disk; returns whether any did.

        The record is left to the caller to write.
        """
        packed = {name: atomic.to_bytes(tensors) for name, tensors in files.items()}
        digests = {name: sha256(data).hexdigest() for name, data in packed.items()}
        stale = {
            name: digest
            for name, digest in digests.items()
            if self.record[FILES].get(name) != digest or not self._is(name, digest)
        }
        if stale:
            self.record[COMING] = stale
            self.write()
            for name in stale:
                atomic.write_bytes(self.folder / name, packed[name])
            self.record[FILES] |= self.record.pop(COMING)
        return bool(stale)

    def _is(self, name: str, digest: str) -> bool:
        try:
            atomic.check(self.folder / name, "", digest)
        except UserError:
            return False
        return True
