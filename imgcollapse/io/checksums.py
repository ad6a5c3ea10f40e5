"""Files that say themselves whether they are whole: a sha256 of all before it ends them.

For what nothing else holds a hash of: a manifest, a run's record, a page, a line of a log. The hash
is in the file, for two files cannot be replaced in one moment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic


@dataclass(frozen=True)
class Checksum:
    """What stands around the hash at the end of a file, or of a line."""

    opening: bytes
    closing: bytes

    def append(self, body: bytes) -> bytes:
        """The body with its seal."""
        return body + self.opening + sha256(body).hexdigest().encode() + self.closing

    def verify(self, data: bytes) -> bool:
        """Whether the seal is there, and whole, and that of the body before it."""
        return self.append(data[: -len(self.append(b""))]) == data


JSON_CHECKSUM = Checksum(b',\n  "checksum": "', b'"\n}\n')
LINE_CHECKSUM = Checksum(b', "checksum": "', b'"}\n')
HTML_CHECKSUM = Checksum(b"<!-- sha256 of all above: ", b" -->\n")
CHECKSUM_KEY = "checksum"
MISMATCH = "damaged, or changed by hand: its checksum is not that of its contents"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON object's file as a whole; it gets a last key, `KEY`."""
    body = json.dumps(value, indent=2, ensure_ascii=False).removesuffix("\n}").encode()
    atomic.write_bytes(path, JSON_CHECKSUM.append(body))


def read_json(path: Path, mend: str, version: int | None = None) -> dict[str, Any]:
    """The JSON object from a file that `write_json` has written, without the `KEY`.

    Args:
        path: the file.
        mend: what to do where it cannot be read.
        version: the "format" that it must have; files of older ones may lack a seal.

    Raises:
        UserError: it cannot be read, is not as it was written, or is of another format.
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
        raise atomic.damaged_file_error(path, error, mend) from None
    if other:
        raise UserError(
            f"{path}: format {value.get('format')} is not {version}; read it with the imgcollapse "
            "version that wrote it"
        )
    return {key: item for key, item in value.items() if key != CHECKSUM_KEY}


def strip_checksum(data: bytes) -> bytes:
    """A JSON object's text without its seal; one that never had a seal is returned as it is.

    Raises:
        ValueError: the seal is not that of the text.
    """
    if JSON_CHECKSUM.verify(data):
        return data[: -len(JSON_CHECKSUM.append(b""))] + b"\n}\n"
    if JSON_CHECKSUM.opening in data:
        raise ValueError(MISMATCH)
    return data


def write_page(path: Path, page: str) -> None:
    """Replace an HTML page as a whole."""
    body = page if page.endswith("\n") else page + "\n"
    atomic.write_bytes(path, HTML_CHECKSUM.append(body.encode()))


def is_intact_page(path: Path) -> bool:
    """Whether an HTML page is as `write_page` has written it."""
    with atomic.wrap_os_errors(path):
        return HTML_CHECKSUM.verify(path.read_bytes())


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append a JSON object to a log, a line each."""
    body = json.dumps(value, ensure_ascii=False).removesuffix("}").encode()
    with atomic.wrap_os_errors(path), path.open("ab+") as file:
        # A line that a crash cut short was never said, and must not swallow this one.
        if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(LINE_CHECKSUM.append(body))


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """The objects of a log; None for a line that is not as it was written."""
    with atomic.wrap_os_errors(path), path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line) if LINE_CHECKSUM.verify(line) else None
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None
