"""Checkpoints of unfinished work, so that an interruption costs a minute and not a generation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic, checksums
from imgcollapse.parallel.process_group import current_group

MAX_TO_KEEP = 2
"""Checkpoints of a stage that are kept: if the newest is damaged there is another."""

MAX_TIME_SHARE = 0.01
"""The largest share of the time that writing checkpoints may take, however slow the disk is."""

FIRST_STEP = "first_step"
"""Key of the metadata: sha256 of the weights after the first optimizer step."""


class Checkpoint(NamedTuple):
    """A saved state of unfinished work."""

    step: int  # optimizer steps done, or images sampled
    tensors: dict[str, Tensor]


class CheckpointManager:
    """Saves and loads checkpoints of one training and its sampling, in a folder of its own.

    A checkpoint is a safetensors file, and a manifest with its sha256 that is written after it. The
    folder is made at the first save; without one nothing is saved. Checkpoints are `interval`
    seconds apart at least; 0 saves every step. `key` are JSON values that identify the work:
    checkpoints with another are deleted. `metadata` are JSON values saved with each. `log` takes a
    line for every damaged or foreign checkpoint.
    """

    def __init__(
        self,
        folder: Path | None = None,
        interval: float = 60.0,
        key: Mapping[str, Any] | None = None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder, self.interval, self.key, self.log = folder, interval, key or {}, log
        self.metadata: dict[str, Any] = {}
        self._had_parent = folder is not None and folder.parent.is_dir()
        self._saved, self._cost, self._last = False, 0.0, time.monotonic()

    def add_metadata(self, name: str, value: Any) -> None:
        """Adds a JSON value to the metadata."""
        self.metadata[name] = value

    def should_save(self, ends: bool = False) -> bool:
        """Whether it is time to save: always if a signal has requested a stop.

        A stage that `ends` is saved if an earlier step was.
        """
        return current_group().broadcast(self._due(ends))

    def _due(self, ends: bool) -> bool:
        if self.folder is None or signals.stop_requested():
            return signals.stop_requested()
        wait = max(self.interval, self._cost / MAX_TIME_SHARE) if self.interval else 0.0
        return time.monotonic() - self._last >= wait or (ends and self._saved)

    def save(self, stage: str, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Saves a stage's state and deletes all but its last `MAX_TO_KEEP` checkpoints."""
        if self.folder is None:
            return
        began = time.monotonic()
        if self._had_parent and not self.folder.parent.is_dir():
            raise UserError(
                f"{self.folder.parent}: is no longer there; bring it back (a disk that is not "
                "mounted?) and run the same command again"
            )
        atomic.make_folder(self.folder)
        manifest = self.folder / f"{stage}_{step:09d}.json"
        data = manifest.with_suffix(".safetensors")
        atomic.write_tensors(data, tensors)
        with atomic.wrap_os_errors(data):
            sha256 = atomic.sha256(data)
        record = {"number": step, "sha256": sha256, "facts": self.metadata, "belongs": self.key}
        checksums.write_json(manifest, record)
        for old in self._manifests(stage)[:-MAX_TO_KEEP]:
            self._remove(old)
        self._saved, self._last = True, time.monotonic()
        self._cost = self._last - began

    def load_latest(self, stage: str) -> Checkpoint | None:
        """Returns the last intact checkpoint of a stage and loads its metadata.

        The last is the one with the most steps; clocks and file times are not used.
        """
        found, self.metadata = current_group().broadcast((self._latest(stage), self.metadata))
        return found

    def _latest(self, stage: str) -> Checkpoint | None:
        if self.folder is None or not self.folder.is_dir():
            return None
        manifests = [m for path in self._manifests(stage) if (m := self._manifest(path))]
        for path, manifest in sorted(manifests, key=lambda m: m[1]["number"], reverse=True):
            if manifest["belongs"] != self.key:
                self.log(f"{self.folder}: belongs to another training; deleted")
                self.delete()
                return None
            if (tensors := self._tensors(path, manifest["sha256"])) is not None:
                self.metadata, self._saved = manifest["facts"] | self.metadata, True
                return Checkpoint(manifest["number"], tensors)
        return None

    def delete(self) -> None:
        """Removes the folder with all checkpoints."""
        if self.folder is not None and self.folder.is_dir():
            with atomic.wrap_os_errors(self.folder):
                shutil.rmtree(self.folder)

    def _manifests(self, stage: str) -> list[Path]:
        return sorted(self.folder.glob(f"{stage}_*.json")) if self.folder else []

    def _manifest(self, path: Path) -> tuple[Path, dict[str, Any]] | None:
        with suppress(UserError):
            return path, checksums.read_json(path, "")
        self._remove_damaged(path)
        return None

    def _tensors(self, path: Path, sha256: str) -> dict[str, Tensor] | None:
        data = path.with_suffix(".safetensors")
        with suppress(OSError, SafetensorError):
            if atomic.sha256(data) == sha256:
                return load(data.read_bytes())
        self._remove_damaged(path)
        return None

    def _remove_damaged(self, path: Path) -> None:
        self.log(f"{path.with_suffix('')}: this checkpoint is damaged; using the one before")
        self._remove(path)

    def _remove(self, manifest: Path) -> None:
        with atomic.wrap_os_errors(manifest):
            manifest.unlink(missing_ok=True)
            manifest.with_suffix(".safetensors").unlink(missing_ok=True)


class StopAfterFirstStep(CheckpointManager):
    """Saves nothing, and ends a training after its first optimizer step, to replay that step.

    try:
        generator.fit(images, replace(context, checkpoints=StopAfterFirstStep()))
    except StopAfterFirstStep.Taken as taken:
        same = str(taken) == manifest["training"]["first_step"]
    """

    class Taken(Exception):  # noqa: N818
        """Raised after the first step; its message is the sha256 of the weights."""

    def add_metadata(self, name: str, value: Any) -> None:
        """Adds a JSON value to the metadata; ends the training if it is that of the first step."""
        super().add_metadata(name, value)
        if name == FIRST_STEP:
            raise self.Taken(value)
