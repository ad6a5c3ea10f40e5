"""Files beside a record that has their sha256: checked before use, and replaced together.

Several files cannot be replaced in one moment. So the record first says what is coming, and until
all of it is there a file of either sha256 is good; a kill at any time leaves files that load.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic, schemas

FILES, COMING = "files", "coming"
"""Keys of the record: sha256 of the files by name, and of those that are about to replace some."""


class ChecksummedFiles:
    """The safetensors files of a folder whose record is a JSON object."""

    def __init__(self, folder: Path, record: dict[str, Any], write: Callable[[], object]) -> None:
        """
        Args:
            folder: where they lie.
            record: is changed as they are.
            write: writes it.
        """
        self.folder, self.record, self.write = folder, record, write

    @property
    def replacing(self) -> bool:
        """Whether an earlier `replace` was not brought to its end."""
        return COMING in self.record

    def check(self, name: str, mend: str) -> Path:
        """See that a file is as it was written; returns where it is.

        Raises:
            UserError: it is not; `mend` says what to do about it.
        """
        digests = [self.record.get(key, {}).get(name) for key in (FILES, COMING)]
        atomic.check(self.folder / name, mend, *filter(None, digests))
        return self.folder / name

    def load(self, name: str, mend: str) -> dict[str, Tensor]:
        """The tensors of a file; raises as `check`, and where they are not what it is for."""
        tensors = atomic.read_tensors(path := self.check(name, mend), mend)
        schemas.validate_tensors(path, tensors, mend)
        return tensors

    def reconcile(self, spare: Collection[str]) -> bool:
        """Bring the record to what is on the disk; returns whether it changed, and is not written.

        Args:
            spare: names of files that are forgotten where they are damaged.
        """
        coming, files = self.record.pop(COMING, {}), self.record[FILES]
        files |= {name: digest for name, digest in coming.items() if self._is(name, digest)}
        lost = [n for n in spare if n in files and not self._is(n, files[n])]
        for name in lost:
            del files[name]
        return bool(coming or lost)

    def replace(self, files: Mapping[str, Mapping[str, Tensor]]) -> bool:
        """Write those that are not there already; returns whether the record is to be written."""
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
        """Whether the disk has a file of this sha256."""
        try:
            atomic.check(self.folder / name, "", digest)
        except UserError:
            return False
        return True
