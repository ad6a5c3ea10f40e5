"""Prepares what a study needs before it is run: device, real images, oracle, codebook, caches."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from imgcollapse.config.study import Study
from imgcollapse.core import device as devices
from imgcollapse.core.components import Component, own_sources
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.progress import ProgressReporter
from imgcollapse.core.seeds import Seed
from imgcollapse.data import RealData
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.metrics import Codebook
from imgcollapse.oracle import FrozenOracle
from imgcollapse.parallel import process_group
from imgcollapse.runs.run_dir import CHANCE, REAL_SIDE, Run
from imgcollapse.training.context import RunContext

PACKAGES = (
    *("imgcollapse", "torch", "torchvision", "diffusers", "torchmetrics"),
    *("numpy", "scipy", "scikit-learn"),
)
OWN = "source of "  # before the module of a part of one's own, in the environment
DECIDES_NOTHING = (
    *("__main__.py", "cli", "tools", "sweeps", "report"),
    *("experiment/forecast.py", "core/progress.py"),
)
"""Files of this package that no generation's bits depend on: they start runs, or read them."""


def setup_device(study: Study) -> Device:
    """Returns the study's device; sets the threads of torch and linear algebra."""
    if process_group.world_group().size > 1 and ":" in study.device:
        kind = study.device.partition(":")[0]
        raise UserError(
            f"device: {study.device} is a single one; use device={kind}, and each process takes "
            "its own"
        )
    if study.threads:
        torch.set_num_threads(study.threads)
        # NumPy and SciPy have threads of their own, which change bits too, and compete for the
        # cores where several lineages run side by side.
        threadpool_limits(study.threads)
    return devices.choose_device(study.device, study.precision)


def load_real_data(study: Study, begun: Run | None, reporter: ProgressReporter) -> RealData:
    """Loads the study's real images; raises `UserError` unless its run began with them."""
    real = study.real()
    for remark in real.remarks:
        reporter.log(remark)
    if begun and (recorded := begun.record["data"]["sha256"]) != real.digest:
        raise UserError(
            f"{begun.path}: the images are not those the run began with (sha256 {real.digest[:12]} "
            f"here, {recorded[:12]} there); restore them or choose another --out; a longer run of "
            "a fresh regime needs longtail.images and all of splits to be set"
        )
    return real


def prepare_oracle(
    study: Study,
    real: RealData,
    begun: Run | None,
    device: Device,
    reporter: ProgressReporter,
    sibling: Path | None = None,
    work: Path | None = None,
) -> FrozenOracle:
    """Loads the run's oracle, or a sibling's that is the same; else trains it.

    Checkpoints of its training are kept in the folder `work`, if there is one.
    """
    seed = Seed((study.seed, "oracle"))
    context = RunContext(seed, device, real.train.shape, len(real.classes), reporter)
    same = begun or (_same_oracle(study, real, device, sibling) if sibling else None)
    if same:
        return study.oracle.build(context).load(same.oracle())
    reporter.start_generation(0, 0, study)
    key = {"seed": study.seed, "oracle": study.oracle.model_dump(mode="json")}
    key |= {"data": real.digest, "made_with": environment(device, study)}
    checkpoints = CheckpointManager(work, study.checkpoint_seconds, key, reporter.log)
    context = replace(context, checkpoints=checkpoints)
    return study.oracle.fit(real.oracle, real.calibration, context)


def prepare_codebook(study: Study, real: RealData, begun: Run | None) -> Codebook | None:
    """Loads the run's codebook of visual words; learns it anew for other settings.

    Returns None if the study does not measure visual words.
    """
    settings = study.metrics.vocabulary
    if settings is None:
        return None
    record = begun.record["study"]["metrics"].get("vocabulary") if begun else None
    if begun and record == settings.model_dump() and (state := begun.vocabulary()):
        return Codebook.of(state)
    return settings.fit(real.reference.pixels, Seed((study.seed, "vocabulary")))


def load_cached_reference(
    study: Study, real: RealData, oracle: FrozenOracle, device: Device, *runs: Run | Path | None
) -> dict[str, Tensor] | None:
    """Loads `RealReference.state` from the first run, or run folder, with the same bits."""
    if not _known_code(study.metrics.features):
        return None
    for candidate in runs:
        try:
            run = Run.open(candidate) if isinstance(candidate, Path) else candidate
            same = run is not None and (
                run.record["data"]["sha256"] == real.digest
                and run.record.get("features") == study.metrics.features.identity(oracle.sha256())
            )
            found = run.derived(REAL_SIDE, environment(device, study)) if run and same else None
        except UserError:
            continue  # it has not begun, or weights are missing: reported where they are needed
        if found and _fits(found, real):
            return found
    return None


def load_cached_null_model(
    study: Study, run: Run | None, device: Device
) -> dict[str, Tensor] | None:
    """Loads the null model from the run, if it has the same bits."""
    parts = study.regime, study.labels, *study.curation
    if run is None or not all(map(_known_code, parts)):
        return None
    return run.derived(CHANCE, environment(device, study))


def _known_code(part: Component) -> bool:
    """Whether a component is of this package, whose code the fingerprint covers."""
    return type(part).__module__.partition(".")[0] == __name__.partition(".")[0]


def _fits(found: Mapping[str, Tensor], real: RealData) -> bool:
    """Whether there are features of every image."""
    reference, train, nearest = found["reference"], found["train"], found["nearest"]
    held_out = len(reference) == len(nearest) == len(real.reference)
    return held_out and train.shape == (len(real.train), reference.shape[1])


def _same_oracle(study: Study, real: RealData, device: Device, sibling: Path) -> Run | None:
    """Opens the sibling's run, if its oracle has the bits that training one here would give."""
    try:
        run = Run.open(sibling)
    except UserError:
        return None  # it has not begun; its own errors say why
    mine, record = study.resolved(), run.record
    here = [mine["seed"], mine["oracle"], real.digest, environment(device)]
    here.append(own_sources(mine["oracle"]))
    theirs = [record["study"]["seed"], record["study"]["oracle"]]
    theirs += [record["data"]["sha256"], _without_own(record["made_with"])]
    theirs.append({n: h for n in here[-1] if (h := record["made_with"].get(OWN + n))})
    return run if here == theirs else None


def environment(device: Device, study: Study | None = None) -> dict[str, str | int]:
    """Returns the fingerprint: everything that the same bits depend on beside the settings.

    The sources of a study's own parts are in it, but for sections of its report.
    """
    settings = study.resolved() if study else {}
    own = own_sources({name: part for name, part in settings.items() if name != "report"})
    kind = device.torch.type
    hardware = torch.cuda.get_device_name() if kind == "cuda" else platform.machine()
    return {
        "device": f"{kind} ({hardware})",
        "precision": str(device.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "processes": process_group.world_group().size,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "code": code_hash(),
        **{package: version(package) for package in PACKAGES},
        **{OWN + name: hashed for name, hashed in own.items()},
    }


def _without_own(made_with: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in made_with.items() if not name.startswith(OWN)}


@cache
def code_hash() -> str:
    """12 hexadecimal digits of a hash over the source that decides a generation's bits."""
    here, seen = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        name = path.relative_to(here)
        if not any(name.is_relative_to(part) for part in DECIDES_NOTHING):
            seen.update(f"{name.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return seen.hexdigest()[:12]
