"""Starts or resumes a study: checks it, records it, and runs its lineages."""

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
from imgcollapse.core.sanitize import with_home
from imgcollapse.data import RealData
from imgcollapse.experiment import setup
from imgcollapse.experiment.evaluator import CachedFindings, Evaluator
from imgcollapse.experiment.loop import run_lineage
from imgcollapse.io import atomic
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.io.lock import folder_lock
from imgcollapse.oracle import FrozenOracle
from imgcollapse.parallel import process_group
from imgcollapse.runs import run_dir
from imgcollapse.runs.run_dir import RECORD, Run


def run(
    study: Study | Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    reporter: ProgressReporter | None = None,
    allow_env_change: bool = False,
) -> Run:
    """Runs a study, or what is left of it, in the folder `out`.

    A lineage that diverges ends there; see `Lineage.diverged`.

    Args:
        study: a `Study`, or the path of a YAML file to read with `overrides` and `smoke`.
        out: the run folder; a study that has begun there is resumed.
        overrides: `key=value` settings.
        smoke: apply the file's `smoke:` section.
        reporter: takes progress; none shows nothing.
        allow_env_change: resume also on another machine or with other software than before; the
            change is recorded.

    Raises:
        UserError: the study, its data or the folder has a problem to be fixed first, or another
            process works in the folder.
        Stopped: a signal asked for it, where the program listens (core/signals.py).
    """
    if isinstance(study, Study):
        if overrides or smoke:
            raise ValueError("overrides and smoke change a file; change a Study before it is run")
    else:
        study = load_study(study, overrides, smoke)
    out, reporter = with_home(out), reporter or NullProgress()
    Run.find(out, study.resolved())  # before anything is written, a lock included
    with folder_lock(out, reporter.log):
        started, evaluator = begin(study, out, reporter, allow_env_change=allow_env_change)
        for lineage in started.lineages:
            alone = lineage.path == out
            with nullcontext() if alone else folder_lock(lineage.path, reporter.log):
                if lineage.generations == 0 and evaluator.real.passed_over:
                    lineage.log("passed_over", files=[list(p) for p in evaluator.real.passed_over])
                try:
                    run_lineage(evaluator, lineage)
                except Diverged as error:
                    reporter.log(str(error))
            started.write_tables()
    return started


def begin(
    study: Study,
    out: Path,
    reporter: ProgressReporter,
    sibling: Path | None = None,
    allow_env_change: bool = False,
) -> tuple[Run, Evaluator]:
    """Records that a study begins, or is resumed; no other process may work in its folder.

    The oracle of `sibling`, another run folder, is reused if training it again gives the same bits.

    Raises:
        UserError: the study, its data or the folder has a problem to be fixed first.
    """
    with process_group.on_all_processes(setup.setup_device, study):
        device = setup.setup_device(study)
    begun = Run.find(out, study.resolved())
    changes = _accepted_changes(begun, study, device, reporter, allow_env_change) if begun else {}
    real = setup.load_real_data(study, begun, reporter)
    if begun is None:
        atomic.check_writable(out)
    checkpoints = out / run_dir.ORACLE_WORK
    oracle = setup.prepare_oracle(study, real, begun, device, reporter, sibling, checkpoints)
    evaluator = _evaluator(study, real, oracle, device, reporter, begun, sibling)
    derived: dict[str, Mapping[str, Tensor]] = {
        run_dir.SPLITS: real.manifest | {"reserve_labels": real.reserve.labels}
    }
    finished = (
        begun is not None and begun.changed_since(setup.environment(device, study)) and not changes
    )
    identity: dict[str, Any] = {}
    if not finished:  # a finished run needs them no more, and here they would have other bits
        derived |= {
            run_dir.REAL_SIDE: evaluator.reference.state(),
            run_dir.CHANCE: evaluator.null_model,
        }
        identity = {"features": evaluator.features_from}
    if begun is None:
        fixed = {run_dir.ORACLE: oracle.state()}
        if evaluator.codebook:
            fixed[run_dir.VOCABULARY] = evaluator.codebook.state()
        record = _record(study, real, oracle, device) | identity
        begun = Run.begin(out, record, fixed | derived)
    else:
        atomic.remove_orphans(out)
        begun.extend(study.resolved(), derived, changes, **identity)
    CheckpointManager(checkpoints).delete()
    _set_environment(begun, device, study)
    return begun, evaluator


def join(
    study: Study, out: Path, reporter: ProgressReporter, allow_env_change: bool = False
) -> tuple[Run, Evaluator]:
    """Opens a run that has begun, to work beside others on another lineage of it.

    Writes nothing: what all lineages share is there already. Raises `UserError` where it is not.
    """
    device = setup.setup_device(study)
    begun = Run.find(out, study.resolved())
    if begun is None:
        raise UserError(f"{out}: the study has not begun; begin it first")
    _accepted_changes(begun, study, device, reporter, allow_env_change)
    real = setup.load_real_data(study, begun, NullProgress())
    oracle = setup.prepare_oracle(study, real, begun, device, reporter)
    _set_environment(begun, device, study)
    return begun, _evaluator(study, real, oracle, device, reporter, begun)


def _record(study: Study, real: RealData, oracle: FrozenOracle, device: Device) -> dict[str, Any]:
    """The first contents of run.json."""
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
        "made_with": setup.environment(device, study),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _evaluator(
    study: Study,
    real: RealData,
    oracle: FrozenOracle,
    device: Device,
    reporter: ProgressReporter,
    run: Run | None,
    sibling: Path | None = None,
) -> Evaluator:
    """Builds the evaluator, reusing reference statistics cached by this run or a sibling."""
    cached = CachedFindings(
        setup.load_cached_reference(study, real, oracle, device, run, sibling),
        setup.load_cached_null_model(study, run, device),
        _measured_rows(run, setup.environment(device, study)) if run else (),
    )
    codebook = setup.prepare_codebook(study, real, run)
    return Evaluator(study, real, oracle, device, reporter, codebook, cached)


def _measured_rows(run: Run, made_with: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of metrics.csv with all of the run's floors, if measured in the same environment."""
    for lineage in run.lineages:
        for g in {0, lineage.generations - 1} if lineage.generations else ():
            with suppress(UserError):  # a damaged manifest is reported where it is needed
                manifest = lineage.manifest(g)
                if manifest["made_with"] == made_with:
                    yield from manifest["metrics"]
                lineage.invalidate(g)  # others may work there, and it has megabytes of findings


def _set_environment(run: Run, device: Device, study: Study) -> None:
    """Has the manifests that are written from here on name this environment."""
    for lineage in run.lineages:
        lineage.made_with = setup.environment(device, study)


def _accepted_changes(
    run: Run, study: Study, device: Device, reporter: ProgressReporter, allow_env_change: bool
) -> dict[str, tuple[Any, Any]]:
    """Changes of the environment since the run was last worked on; none if it is finished.

    Raises `UserError` for some that were not allowed.
    """
    changes = run.changed_since(setup.environment(device, study))
    if not changes or all(lineage.generations > study.generations for lineage in run.lineages):
        return {}
    listed = ", ".join(f"{name} from {then} to {now}" for name, (then, now) in changes.items())
    if not allow_env_change:
        raise UserError(
            f"{run.path}: {listed} changed since the run was last worked on, and later generations "
            "would not have the bits of an uninterrupted run; go back to what it was, or accept it "
            "with --allow-env-change"
        )
    reporter.log(f"Resumes with {listed} changed; {run.path / RECORD} records it.")
    return changes
