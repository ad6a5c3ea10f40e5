"""Begin or resume a study: what is checked and written down before the loop starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from imgcollapse.config import load_study
from imgcollapse.core import storage, world
from imgcollapse.core.device import Device
from imgcollapse.core.errors import Diverged, UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.scratch import Scratch
from imgcollapse.data import RealData
from imgcollapse.laboratory import Laboratory
from imgcollapse.loop import live
from imgcollapse.oracle import FrozenOracle
from imgcollapse.prepare import choose_device, freeze_codebook, freeze_oracle, load_real, made_with
from imgcollapse.progress import Silent, Watcher
from imgcollapse.run_folder import ORACLE_WORK, Run
from imgcollapse.study import Study


def run(
    study: Study | Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    watcher: Watcher | None = None,
) -> Run:
    """Run a study, or what is left of it, in the folder `out`.

    A lineage that diverges ends there, and says so; see `Lineage.diverged`.

    Args:
        study: a `Study`, or the path of a YAML file to read with `overrides` and `smoke`.
        out: the run folder; a study that has begun there is resumed.
        overrides: `key=value` settings.
        smoke: apply the file's `smoke:` section.
        watcher: told about progress; none is silent.

    Raises:
        UserError: something about the study, its data or the folder must be mended first.
        Stopped: a signal asked for it, where the program listens (core/stop.py).
    """
    if isinstance(study, Study):
        if overrides or smoke:
            raise ValueError(
                "overrides and smoke change a file; a Study is changed before it is run"
            )
    else:
        study = load_study(study, overrides, smoke)
    begun, laboratory = begin(study, Path(out), watcher or Silent())
    for lineage in begun.lineages:
        try:
            live(laboratory, lineage)
        except Diverged as lost:
            laboratory.watcher.say(str(lost))
        begun.write_tables()
    return begun


def begin(
    study: Study, out: Path, watcher: Watcher, sibling: Path | None = None
) -> tuple[Run, Laboratory]:
    """Write down that a study begins, or goes on; nobody else may work in its folder meanwhile.

    Args:
        study: its settings.
        out: the run folder.
        watcher: told about progress.
        sibling: a run folder whose oracle is taken over where training it again would give the
            same bits.

    Raises:
        UserError: something about the study, its data or the folder must be mended first.
    """
    with world.joined(choose_device, study):
        device = choose_device(study)
    begun = Run.find(out, study.resolved())
    real = load_real(study, begun, watcher)
    if begun is None:
        storage.check_writable(out)
    work = out / ORACLE_WORK
    oracle = freeze_oracle(study, real, begun, device, watcher, sibling, work)
    codebook = freeze_codebook(study, real, begun)
    if begun is None:
        record = _record(study, real, oracle, device)
        words = codebook.state() if codebook else None
        begun = Run.begin(out, record, oracle.state(), _splits(real), words)
    else:
        for line in _changes(begun.record["made_with"], made_with(device)):
            watcher.say(line)
        storage.sweep_orphans(out)
        begun.extend(study.resolved(), _splits(real))
    Scratch(work).drop()
    return begun, Laboratory(study, real, oracle, device, watcher, codebook)


def join(study: Study, out: Path, watcher: Watcher) -> tuple[Run, Laboratory]:
    """Work on a run that has begun, beside others who work on other lineages of it.

    Writes nothing: what all lineages share is there already.

    Raises:
        UserError: the run has not begun, or something about it must be mended first.
    """
    device = choose_device(study)
    begun = Run.find(out, study.resolved())
    if begun is None:
        raise UserError(f"{out}: the study has not begun; begin it first")
    real = load_real(study, begun, Silent())
    oracle = freeze_oracle(study, real, begun, device, watcher)
    codebook = freeze_codebook(study, real, begun)
    return begun, Laboratory(study, real, oracle, device, watcher, codebook)


def _splits(real: RealData) -> dict[str, Tensor]:
    return real.manifest | {"reserve_labels": real.reserve.labels}


def _record(study: Study, real: RealData, oracle: FrozenOracle, device: Device) -> dict[str, Any]:
    return {
        "study": study.resolved(),
        "classes": list(real.classes),
        "shares": real.shares.tolist(),
        "shape": list(real.train.shape),
        "data": {"sha256": real.digest, "remarks": list(real.remarks)},
        "oracle": {
            "accuracy": oracle.accuracy,
            "held_out": len(real.calibration),
            "recognised": float((oracle.held_out.counted != UNKNOWN).double().mean()),
            "confusion": oracle.confusion.tolist(),
        },
        "made_with": made_with(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _changes(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{key} was {then.get(key)} when this run began and is {now[key]} now: later generations "
        "may differ in their last bits from an unbroken run's"
        for key in now
        if then.get(key) != now[key]
    ]
