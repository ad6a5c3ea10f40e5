"""Where unfinished work is kept, so that an interruption costs a minute and not a generation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.io import atomic, checksums
from imgcollapse.parallel.process_group import current_group

MAX_TO_KEEP = 2
"""Checkpoints of a stage that are kept: should the newest be damaged there is another."""

MAX_TIME_SHARE = 0.01
"""The largest share of the time that goes into checkpoints, whatever the disk."""

FIRST_STEP = "first_step"
"""The fact that says the sha256 of the weights after the first optimizer step."""


@dataclass(frozen=True)
class Checkpoint:
    """Work that was kept.

    Attributes:
        number: how far it had come: steps, or images.
        tensors: what it goes on from.
    """

    step: int
    tensors: dict[str, Tensor]


class CheckpointManager:
    """Keeps the unfinished work of one training and its sampling in a folder of its own.

    A checkpoint is a safetensors file, and a manifest with its sha256 that is written after it.

    Attributes:
        folder: made when there is something to keep; None keeps nothing.
        metadata: what is to be known of the work; kept with it.
        log: told one line for everything that goes wrong and is mended.
    """

    def __init__(
        self,
        folder: Path | None = None,
        interval: float = 60.0,
        key: Mapping[str, Any] | None = None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            folder: where.
            interval: seconds between two checkpoints, at least; 0 keeps every step.
            key: JSON values that name the work; what lies there of other work is dropped.
            log: takes a line for the user.
        """
        self.folder, self.interval, self.key, self.log = folder, interval, key or {}, log
        self.metadata: dict[str, Any] = {}
        self._home = folder is not None and folder.parent.is_dir()
        self._kept, self._cost, self._last = False, 0.0, time.monotonic()

    def add_metadata(self, fact: str, value: Any) -> None:
        """Note a fact, a JSON value."""
        self.metadata[fact] = value

    def should_save(self, ends: bool = False) -> bool:
        """Whether it is time to keep what there is: always if a signal has asked to stop.

        Args:
            ends: whether this stage is at its end; it is kept where earlier work was.
        """
        return current_group().broadcast(self._due(ends))

    def _due(self, ends: bool) -> bool:
        if self.folder is None or signals.stop_requested():
            return signals.stop_requested()
        wait = max(self.interval, self._cost / MAX_TIME_SHARE) if self.interval else 0.0
        return time.monotonic() - self._last >= wait or (ends and self._kept)

    def save(self, stage: str, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep a stage's work in place of all but the last checkpoint of it.

        Raises:
            UserError: it cannot be written.
        """
        if self.folder is None:
            return
        began = time.monotonic()
        if self._home and not self.folder.parent.is_dir():
            raise UserError(
                f"{self.folder.parent}: is no longer there; bring it back (a disk that is not "
                "mounted?) and run the same command again"
            )
        atomic.make_folder(self.folder)
        manifest = self.folder / f"{stage}_{number:09d}.json"
        data = manifest.with_suffix(".safetensors")
        atomic.write_tensors(data, tensors)
        with atomic.wrap_os_errors(data):
            sha256 = atomic.sha256(data)
        record = {
            "number": number,
            "sha256": sha256,
            "facts": self.metadata,
            "belongs": self.key,
        }
        checksums.write_json(manifest, record)
        self._prune(stage)
        self._kept, self._last = True, time.monotonic()
        self._cost = self._last - began

    def load_latest(self, stage: str) -> Checkpoint | None:
        """The furthest whole checkpoint of a stage, and its facts; a damaged one is passed over.

        Neither the clock nor the age of a file says which it is.
        """
        found, self.metadata = current_group().broadcast((self._latest(stage), self.metadata))
        return found

    def _latest(self, stage: str) -> Checkpoint | None:
        if self.folder is None or not self.folder.is_dir():
            return None
        manifests = [m for path in self._manifests(stage) if (m := self._manifest(path))]
        for path, manifest in sorted(manifests, key=lambda m: m[1]["number"], reverse=True):
            if manifest["belongs"] != self.key:
                self.log(f"{self.folder}: belongs to another training; dropped")
                self.delete()
                return None
            if (tensors := self._tensors(path, manifest["sha256"])) is not None:
                self.metadata, self._kept = manifest["facts"] | self.metadata, True
                return Checkpoint(manifest["number"], tensors)
        return None

    def delete(self) -> None:
        """Remove the folder with all that is in it."""
        if self.folder is not None and self.folder.is_dir():
            with atomic.wrap_os_errors(self.folder):
                shutil.rmtree(self.folder)

    def _manifests(self, stage: str) -> list[Path]:
        return sorted(self.folder.glob(f"{stage}_*.json")) if self.folder else []

    def _manifest(self, path: Path) -> tuple[Path, dict[str, Any]] | None:
        with suppress(UserError):
            return path, checksums.read_json(path, "")
        self._pass_over(path)
        return None

    def _tensors(self, path: Path, sha256: str) -> dict[str, Tensor] | None:
        data = path.with_suffix(".safetensors")
        try:
            if atomic.sha256(data) == sha256:
                return load(data.read_bytes())
        except (OSError, SafetensorError):
            pass
        self._pass_over(path)
        return None

    def _pass_over(self, path: Path) -> None:
        self.log(
            f"{path.with_suffix('')}: this checkpoint is damaged; going on from the one before"
        )
        self._remove(path)

    def _prune(self, stage: str) -> None:
        for path in self._manifests(stage)[:-MAX_TO_KEEP]:
            self._remove(path)

    def _remove(self, manifest: Path) -> None:
        with atomic.wrap_os_errors(manifest):
            manifest.unlink(missing_ok=True)
            manifest.with_suffix(".safetensors").unlink(missing_ok=True)


class StopAfterFirstStep(CheckpointManager):
    """Keeps nothing, and ends a training after its first step: how that step is replayed.

    try:
        generator.fit(images, classes, seed, device, progress, previous, FirstStep())
    except FirstStep.Taken as taken:
        same = str(taken) == manifest["training"]["first_step"]
    """

    class Taken(Exception):  # noqa: N818
        """The first step is done; says the sha256 of the weights after it."""

    def add_metadata(self, fact: str, value: Any) -> None:
        """End the training where the fact is that of its first step."""
        super().add_metadata(fact, value)
        if fact == FIRST_STEP:
            raise self.Taken(value)
