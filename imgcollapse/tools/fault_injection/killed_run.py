"""A process that runs a study until it is killed, and where it was by then."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from ctypes import Array, c_char
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, cast

from imgcollapse.config.study import Study
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import StudyLength
from imgcollapse.experiment.runner import run

_HOW = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_HOW)
_CONTEXT.set_forkserver_preload(
    ["imgcollapse.experiment.runner"]
)  # torch is imported once, not every time
_LONGEST = 64


class KilledRun:
    """A study at work in a process of its own."""

    def __init__(self, study: Study, folder: Path) -> None:
        """Start it, or let it go on, in a run folder."""
        self._place = RawArray(c_char, _LONGEST)
        self._ours, theirs = _CONTEXT.Pipe(duplex=False)
        arguments = (study.resolved(), folder, self._place, theirs)
        self._process: BaseProcess = _CONTEXT.Process(  # pyright: ignore[reportAttributeAccessIssue]
            target=_work, args=arguments, daemon=True
        )
        self._process.start()
        theirs.close()

    def killed_after(self, seconds: float) -> str | None:
        """Kill it (SIGKILL) so long after now.

        Returns:
            Where it was, such as "train"; None where it had come to its end before.

        Raises:
            UserError: it had failed.
        """
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        elif self._process.exitcode == 0:
            return None
        else:
            self._complain()
        return self._place.value.decode() or "begin"

    def ends(self) -> None:
        """Wait for its end.

        Raises:
            UserError: it failed.
        """
        self._process.join()
        if self._process.exitcode != 0:
            self._complain()

    def _complain(self) -> None:
        why = f"its process died (exit code {self._process.exitcode})"
        if self._ours.poll():
            why = self._ours.recv()
        raise UserError(why)


class _Teller:
    """Watches a study, and leaves word in memory that outlives a killed process."""

    def __init__(self, place: Array[c_char]) -> None:
        self.place = place

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self.place.value = b"between stages" if generation else b"oracle"

    def log(self, line: str) -> None:
        pass

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        if self.place.value != b"oracle" or stage != "train":
            self.place.value = stage.encode()[: _LONGEST - 1]


def _work(
    study: Mapping[str, Any], folder: Path, place: Array[c_char], complaints: Connection
) -> None:
    try:
        run(Study.model_validate(dict(study)), folder, reporter=_Teller(place))
    except UserError as error:
        cast(Connection, complaints).send(str(error))
        raise SystemExit(2) from None
