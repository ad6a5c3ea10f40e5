"""Runs a study in a process of its own, and kills it after a while."""

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
from imgcollapse.core.progress import NullProgress, StudyLength
from imgcollapse.experiment.runner import run

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_METHOD)
_CONTEXT.set_forkserver_preload(["imgcollapse.experiment.runner"])  # torch is imported only once
_STAGE_BYTES = 64


def run_and_kill(study: Study, folder: Path, after: float | None = None) -> str | None:
    """Starts or resumes a study in a run folder, and kills its process (SIGKILL).

    Args:
        study: what is run.
        folder: the run folder.
        after: seconds until the kill; None lets the study end.

    Returns:
        The stage it was killed in, such as "train"; None if it had ended before.

    Raises:
        UserError: the study failed.
    """
    stage = RawArray(c_char, _STAGE_BYTES)  # still readable after the process is killed
    errors, sender = _CONTEXT.Pipe(duplex=False)
    process: BaseProcess = _CONTEXT.Process(  # pyright: ignore[reportAttributeAccessIssue]
        target=_run_study, args=(study.resolved(), folder, stage, sender), daemon=True
    )
    process.start()
    sender.close()
    process.join(after)
    if process.exitcode is None:
        process.kill()
        process.join()
    elif process.exitcode == 0:
        return None
    else:
        died = f"its process died (exit code {process.exitcode})"
        raise UserError(errors.recv() if errors.poll() else died)
    return stage.value.decode() or "begin"


class _StageReporter(NullProgress):
    """Writes the current stage to shared memory."""

    def __init__(self, stage: Array[c_char]) -> None:
        self.stage = stage

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        self.stage.value = b"between stages" if generation else b"oracle"

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        if self.stage.value != b"oracle" or stage != "train":
            self.stage.value = stage.encode()[: _STAGE_BYTES - 1]


def _run_study(
    study: Mapping[str, Any], folder: Path, stage: Array[c_char], errors: Connection
) -> None:
    try:
        run(Study.model_validate(dict(study)), folder, reporter=_StageReporter(stage))
    except UserError as error:
        cast(Connection, errors).send(str(error))
        raise SystemExit(2) from None
