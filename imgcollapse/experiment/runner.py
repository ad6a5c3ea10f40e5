"""Begin or resume a study: what is checked and written down before the loop starts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from imgcollapse.config.loader import load_study
from imgcollapse.config.study import Study
from imgcollapse.core.device import Device
from imgcollapse.core.errors import Diverged, UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.data import RealData
from imgcollapse.experiment.evaluator import CachedFindings, Evaluator
from imgcollapse.experiment.loop import run_lineage
from imgcollapse.experiment.setup import (
    environment,
    load_cached_null_model,
    load_cached_reference,
    load_real_data,
    prepare_codebook,
    prepare_oracle,
    setup_device,
)
from imgcollapse.io import atomic
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.io.lock import folder_lock
from imgcollapse.oracle import FrozenOracle
from imgcollapse.parallel import process_group
from imgcollapse.runs.run_dir import (
    CHANCE,
    ORACLE,
    ORACLE_WORK,
    REAL_SIDE,
    RECORD,
    SPLITS,
    VOCABULARY,
    Run,
)


def run(
    study: Study | Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    reporter: ProgressReporter | None = None,
    allow_drift: bool = False,
) -> Run:
    """Run a study, or what is left of it, in the folder `out`.

    A lineage that diverges ends there, and says so; see `Lineage.diverged`.

    Args:
        study: a `Study`, or the path of a YAML file to read with `overrides` and `smoke`.
        out: the run folder; a study that has begun there is resumed.
        overrides: `key=value` settings.
        smoke: apply the file's `smoke:` section.
        watcher: told about progress; none is silent.
        allow_drift: go on also where the machine or the software is another than before; it is
            written down.

    Raises:
        UserError: something about the study, its data or the folder must be mended first, or
            another process works in the folder.
        Stopped: a signal asked for it, where the program listens (core/stop.py).
    """
    if isinstance(study, Study):
        if overrides or smoke:
            raise ValueError(
                "overrides and smoke change a file; a Study is changed before it is run"
            )
    else:
        study = load_study(study, overrides, smoke)
    out, reporter = Path(out), reporter or NullProgress()
    Run.find(out, study.resolved())  # before anything is written, a lock included
    with folder_lock(out, reporter.log):
        begun, evaluator = begin(study, out, reporter, allow_drift=allow_drift)
        for lineage in begun.lineages:
            with nullcontext() if lineage.path == out else folder_lock(lineage.path, reporter.log):
                try:
                    run_lineage(evaluator, lineage)
                except Diverged as lost:
                    reporter.log(str(lost))
            begun.write_tables()
    return begun


def begin(
    study: Study,
    out: Path,
    reporter: ProgressReporter,
    sibling: Path | None = None,
    allow_drift: bool = False,
) -> tuple[Run, Evaluator]:
    """Write down that a study begins, or goes on; nobody else may work in its folder meanwhile.

    Args:
        study: its settings.
        out: the run folder.
        watcher: told about progress.
        sibling: a run folder whose oracle is taken over where training it again would give the
            same bits.
        allow_drift: as in `run`.

    Raises:
        UserError: something about the study, its data or the folder must be mended first.
    """
    with process_group.on_all_processes(setup_device, study):
        device = setup_device(study)
    begun = Run.find(out, study.resolved())
    changed = _changed(begun, study, device, reporter, allow_drift) if begun else {}
    real = load_real_data(study, begun, reporter)
    if begun is None:
        atomic.check_writable(out)
    work = out / ORACLE_WORK
    oracle = prepare_oracle(study, real, begun, device, reporter, sibling, work)
    evaluator = _laboratory(study, real, oracle, device, reporter, begun, sibling)
    derived: dict[str, Mapping[str, Tensor]] = {
        SPLITS: real.manifest | {"reserve_labels": real.reserve.labels}
    }
    done_elsewhere = begun is not None and begun.changed_since(environment(device)) and not changed
    about: dict[str, Any] = {}
    if not done_elsewhere:  # else nobody needs them, and here they would have other bits
        derived |= {REAL_SIDE: evaluator.reference.state(), CHANCE: evaluator.null_model}
        about = {"features": evaluator.features_from}
    if begun is None:
        fixed = {ORACLE: oracle.state()}
        if evaluator.codebook:
            fixed[VOCABULARY] = evaluator.codebook.state()
        begun = Run.begin(out, _record(study, real, oracle, device) | about, fixed | derived)
    else:
        atomic.remove_orphans(out)
        begun.extend(study.resolved(), derived, changed, **about)
    CheckpointManager(work).delete()
    _sign(begun, device)
    return begun, evaluator


def join(
    study: Study, out: Path, reporter: ProgressReporter, allow_drift: bool = False
) -> tuple[Run, Evaluator]:
    """Work on a run that has begun, beside others who work on other lineages of it.

    Writes nothing: what all lineages share is there already.

    Raises:
        UserError: the run has not begun, or something about it must be mended first.
    """
    device = setup_device(study)
    begun = Run.find(out, study.resolved())
    if begun is None:
        raise UserError(f"{out}: the study has not begun; begin it first")
    _changed(begun, study, device, reporter, allow_drift)
    real = load_real_data(study, begun, NullProgress())
    oracle = prepare_oracle(study, real, begun, device, reporter)
    _sign(begun, device)
    return begun, _laboratory(study, real, oracle, device, reporter, begun)


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
        "made_with": environment(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _laboratory(
    study: Study,
    real: RealData,
    oracle: FrozenOracle,
    device: Device,
    reporter: ProgressReporter,
    begun: Run | None,
    sibling: Path | None = None,
) -> Evaluator:
    """The laboratory, which does not find again what the run or a sibling has found to its bits."""
    known = CachedFindings(
        load_cached_reference(study, real, oracle, device, begun, sibling),
        load_cached_null_model(study, begun, device),
        _measured(begun, environment(device)) if begun else (),
    )
    codebook = prepare_codebook(study, real, begun)
    return Evaluator(study, real, oracle, device, reporter, codebook, known)


def _measured(run: Run, made_with: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Rows of metrics.csv with all floors that the run has, where they were made as here."""
    for lineage in run.lineages:
        for g in {0, lineage.generations - 1} if lineage.generations else ():
            with suppress(UserError):  # whoever needs a damaged manifest says so
                manifest = lineage.manifest(g)
                if manifest["made_with"] == made_with:
                    yield from manifest["metrics"]
                lineage.invalidate(g)  # others may work there, and it has megabytes of findings


def _sign(run: Run, device: Device) -> None:
    """What is made from here on says by what."""
    for lineage in run.lineages:
        lineage.made_with = environment(device)


def _changed(
    run: Run, study: Study, device: Device, reporter: ProgressReporter, allow_drift: bool
) -> dict[str, tuple[Any, Any]]:
    """What has changed since the run's last sitting that later generations' bits depend on.

    Raises:
        UserError: something has, nobody allows it, and there are generations left to make.
    """
    changed = run.changed_since(environment(device))
    if not changed or all(lineage.generations > study.generations for lineage in run.lineages):
        return {}
    listed = ", ".join(f"{name} from {then} to {now}" for name, (then, now) in changed.items())
    if not allow_drift:
        raise UserError(
            f"{run.path}: since its last sitting {listed} changed, and later generations would not "
            "have an unbroken run's bits; go back to what it was, or accept it with --allow-drift"
        )
    reporter.log(f"Goes on with {listed} changed; {run.path / RECORD} says so.")
    return changed
