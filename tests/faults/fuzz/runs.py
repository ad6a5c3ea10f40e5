"""A run folder from a stranger, who changed a file of it and made every hash fit."""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import imgcollapse as ic
from imgcollapse.config.study import Study
from imgcollapse.core.device import Device
from imgcollapse.core.progress import NullProgress
from imgcollapse.curation import PicksTarget
from imgcollapse.data import RealData
from imgcollapse.experiment.setup import load_cached_reference, prepare_oracle, setup_device
from imgcollapse.io import checksums
from imgcollapse.oracle import FrozenOracle
from imgcollapse.runs.run_dir import CHANCE, Run
from imgcollapse.tools.verify import verify
from imgcollapse.tools.verify.files import check_lineages

from .targets import Target, one_line

STUDY = """
samples: 60
generations: 2
data: digits
longtail: {kind: exponential, factor: 8, images: 40}
splits: {oracle: 60, calibration: 30, reference: 40}
metrics: {per_class: false, splits: 4}
generator: {kind: vae, epochs: 1, width: 4, latent: 2}
curation: [{kind: verifier, keep_share: 0.8}]
oracle: {kind: cnn, steps: 8, width: 8}
precision: float32
threads: 1
"""
RECORDS = ("run.json", "gen_000/manifest.json", "gen_002/manifest.json", "diverged.json")
TENSORS = (
    *("splits.safetensors", "vocabulary.safetensors", "oracle.safetensors"),
    *("gen_000/samples.safetensors", "gen_002/samples.safetensors", "gen_002/words.safetensors"),
    *("gen_002/training_set.safetensors", "gen_002/kept.safetensors", "gen_002/model.safetensors"),
    *("real_side.safetensors", "chance.safetensors"),
)
LOG = "events.jsonl"


@cache
def example() -> Path:
    """A whole run whose lineage ended after two generations; there until the process ends."""
    top = Path(mkdtemp())
    atexit.register(shutil.rmtree, top)
    (top / "study.yaml").write_text(STUDY)
    run = Run.open(ic.run(top / "study.yaml", top / "run").path)
    run.lineages[0].mark_diverged(3, "its loss was no number")
    return run.path


def read_run(folder: Path) -> None:
    """All that is read of a run folder by those who look at it, `verify` among them."""
    seen = verify(folder, quick=True)
    for line in (*seen.wrong, *seen.notes):
        one_line(line)
    run = Run.open(folder)
    run.study.resolved()
    for line in check_lineages(run).wrong:
        one_line(line)
    for lineage in run.lineages:
        for g in range(min(lineage.generations, 3)):
            lineage.manifest(g)
            lineage.samples(g)
            lineage.counted(g)
            lineage.words(g)
            PicksTarget.open(lineage.path, g)
            if g:
                lineage.training_set(g)
                lineage.selection(g - 1)
                lineage.model(g)
    run.oracle()
    run.vocabulary()
    run.reserve_labels  # noqa: B018 - it is read from the disk
    run.derived(CHANCE, run.environment)
    load_cached_reference(*_judges(), run)


@cache
def _judges() -> tuple[Study, RealData, FrozenOracle, Device]:
    """Whoever would take over what the example's run has found about its real images."""
    run = Run.open(example())
    study, device = run.study, setup_device(run.study)
    real = study.real()
    return study, real, prepare_oracle(study, real, run, device, NullProgress()), device


def put_in(folder: Path, name: str, data: bytes, fitting: bool) -> None:
    """Give a file of a run other bytes; when `fitting`, with hashes and seals that fit."""
    path = folder / name
    if fitting and path.suffix == ".json":
        data = _sealed(data)
    elif fitting and path.suffix == ".jsonl":
        data = b"".join(checksums.LINE_CHECKSUM.append(line) for line in data.split(b"\n"))
    path.write_bytes(data)
    if fitting and path.suffix == ".safetensors":
        holder = path.with_name("run.json" if path.parent == folder else "manifest.json")
        record = json.loads(holder.read_bytes())
        record["files"][path.name] = sha256(data).hexdigest()
        del record[checksums.CHECKSUM_KEY]
        checksums.write_json(holder, record)


def bare(folder: Path, name: str) -> bytes:
    """A file of a run without its seals, as `put_in` takes it."""
    data = (folder / name).read_bytes()
    if name.endswith(".jsonl"):
        return b"\n".join(
            line[: line.rindex(checksums.LINE_CHECKSUM.opening)] for line in data.splitlines()
        )
    return checksums.strip_checksum(data) if name.endswith(".json") else data


def run_target(names: Sequence[str]) -> Target:
    """Files of a run folder: the first byte says which, and whether hashes are made to fit."""

    def seeds() -> list[bytes]:
        return [
            bytes([2 * i + fitting]) + (bare if fitting else _whole)(example(), name)
            for i, name in enumerate(names)
            for fitting in (0, 1)
        ]

    def read(path: Path) -> None:
        first, rest = path.read_bytes()[:1] or b"\0", path.read_bytes()[1:]
        which, fitting = divmod(first[0] % (2 * len(names)), 2)
        folder = path.parent / "run"
        try:
            shutil.copytree(example(), folder, copy_function=shutil.copyfile)
            put_in(folder, names[which], rest, bool(fitting))
            read_run(folder)
        finally:
            shutil.rmtree(folder)

    return Target(seeds, "changed", read)


def _whole(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def _sealed(data: bytes) -> bytes:
    """An object's text with a seal that fits, as `sealed.write_json` would; no object as it is."""
    with suppress(ValueError, RecursionError, UnicodeDecodeError):
        value = json.loads(data)
        if isinstance(value, dict):
            value.pop(checksums.CHECKSUM_KEY, None)
            body = json.dumps(value, indent=2, ensure_ascii=False).removesuffix("\n}")
            return checksums.JSON_CHECKSUM.append(body.encode("utf-8", "surrogatepass"))
    return data


RUNS: dict[str, Target] = {
    "run-records": run_target((*RECORDS, LOG)),
    "run-tensors": run_target(TENSORS),
}
"""The readers of a run folder, by the kind of file that is changed."""
