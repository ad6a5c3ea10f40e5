"""Evaluates images that any generator has made: the census and all metrics, in a folder."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import binom
from torch import Tensor

from imgcollapse import census
from imgcollapse.config.loader import load_study, with_overrides
from imgcollapse.config.study import Study, setting
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.progress import NullProgress, ProgressReporter
from imgcollapse.core.sanitize import with_home
from imgcollapse.core.seeds import Seed
from imgcollapse.data.image_import import load_images
from imgcollapse.experiment.evaluator import CachedFindings, Evaluator
from imgcollapse.experiment.setup import (
    environment,
    load_cached_reference,
    load_real_data,
    prepare_codebook,
    prepare_oracle,
    setup_device,
)
from imgcollapse.io import atomic
from imgcollapse.runs.run_dir import RECORD, Run
from imgcollapse.runs.tables import census_table, metrics_table, write_table

GENERATION = 1
"""Their generation in both tables: samples of a model trained on the real images."""

SETTABLE = [key for key in Study.model_fields if "evaluate" in setting(key).may_change]
"""Settings that may differ from a run's; the real images must still be those it began with."""


def evaluate(
    images: Path | str | Images,
    study: Study | Run | Path | str,
    out: Path | str | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    reporter: ProgressReporter | None = None,
) -> Evaluation:
    """Compare any generator's images with a study's real images, and count their classes.

    The result does not depend on how the images are packed or ordered. In both tables they are
    generation `GENERATION`.

    Args:
        images: a folder, zip, npz or safetensors file, or `Images` (data/image_import.py).
        study: a YAML file or a `Study`, whose oracle is trained first; or a run, or its folder,
            whose oracle is taken as it is.
        out: the folder to write; none writes nothing.
        overrides: `key=value` settings; of a run's study only those under `SETTABLE`.
        smoke: apply the YAML file's `smoke:` section.
        reporter: receives progress.

    Raises:
        UserError: the images, the study or the folder cannot be used; it says how to fix that.
    """
    reporter = reporter or NullProgress()
    study, run = _opened(study, overrides, smoke)
    source = images if isinstance(images, Images) else with_home(images)
    path = None if isinstance(source, Images) else str(source.absolute())
    if out is not None:
        check_out(with_home(out), path, study.resolved())
    device = setup_device(study)
    real = load_real_data(study, run, reporter)
    brought = load_images(source, real.train.shape, real.classes, study.data.limits)
    for remark in brought.remarks:
        reporter.log(remark)
    oracle = prepare_oracle(study, real, run, device, reporter)
    codebook = prepare_codebook(study, real, run)
    known = CachedFindings(load_cached_reference(study, real, oracle, device, run))
    evaluator = Evaluator(study, real, oracle, device, reporter, codebook, known)
    digest, samples = _shuffled(brought.images, Seed((study.seed, "evaluate")))
    reporter.log(f"measuring {len(samples):,} images")
    _, rows = evaluator.measure(GENERATION, samples, by_chance(real.shares, len(samples)))
    found = Evaluation(
        census_table(rows["census"]),
        metrics_table(rows["metrics"]),
        {
            "format": 1,
            "images": {
                "path": path,
                "number": len(samples),
                "sha256": digest,
                "remarks": list(brought.remarks),
            },
            "study": study.resolved(),
            "run": str(run.path.absolute()) if run else None,
            "classes": list(real.classes),
            "shares": real.shares.tolist(),
            "shape": list(real.train.shape),
            "data": {"sha256": real.digest, "remarks": list(real.remarks)},
            "oracle": {
                "sha256": oracle.sha256(),
                "accuracy": oracle.accuracy,
                "held_out": len(real.calibration),
                "recognised": float((oracle.held_out.counted != UNKNOWN).double().mean()),
            },
            "made_with": environment(device),
        },
    )
    if out is not None:
        found.write(with_home(out))
    return found


def by_chance(shares: Tensor, n: int) -> census.Expectation:
    """The real shares float64[K], and the central 95% of each among n independent draws.

    The ends are quantiles of Binomial(n, share) / n: at most 2.5% of draws lie beyond either.
    """
    low, high = binom.ppf([[0.025], [0.975]], n, shares.numpy()) / n
    return census.Expectation(shares.tolist(), low.tolist(), high.tolist())


def _opened(
    study: Study | Run | Path | str, overrides: Sequence[str], smoke: bool
) -> tuple[Study, Run | None]:
    if isinstance(study, Study):
        if overrides or smoke:
            raise ValueError("overrides and smoke change a file; change the Study before")
        return study, None
    if not isinstance(study, Run) and not with_home(study).is_dir():
        return load_study(study, overrides, smoke), None
    run = study if isinstance(study, Run) else Run.open(study)
    if smoke:
        raise UserError(f"{run.path}: is a run and has no smoke: section; leave out --smoke")
    for override in overrides:
        if override.partition("=")[0].split(".")[0] not in SETTABLE:
            raise UserError(
                f"{override}: is settled in {run.path / RECORD}; set only {', '.join(SETTABLE)}"
            )
    raw = copy.deepcopy(run.record["study"])
    return with_overrides(raw, overrides, str(run.path / RECORD)), run


def _shuffled(images: Images, seed: Seed) -> tuple[str, Images]:
    """The sha256 over the sorted sha256 of each image, and an order that depends on them alone.

    Metrics at equal n take the first n, which must be a fair sample; a folder is sorted by class.
    """
    each = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.pixels]
    order = sorted(range(len(each)), key=lambda row: (each[row], int(images.labels[row])))
    digest = hashlib.sha256(b"".join(each[row] for row in order)).hexdigest()
    # By hash alone copies of one image would lie side by side.
    mixed = torch.randperm(len(order), generator=seed.torch())
    return digest, images[torch.tensor(order)[mixed]]


EVALUATION, CENSUS, METRICS = "evaluation.json", "census.csv", "metrics.csv"


@dataclass(frozen=True)
class Evaluation:
    """The census and the metrics of a set of images, with the columns of a run's tables.

    `drift_low` to `drift_high` is the exact 95% binomial band of a class among N independent draws
    from the real shares; `record` is evaluation.json but for both tables.
    """

    census: pd.DataFrame
    metrics: pd.DataFrame
    record: dict[str, Any]

    def write(self, out: Path) -> None:
        """Write evaluation.json and both tables, in place of an earlier evaluation.

        Raises:
            UserError: the folder holds something else, or cannot be written.
        """
        check_out(out, self.record["images"]["path"], self.record["study"])
        out = out.resolve()
        former = out.with_name(f"{out.name}.former{atomic.ASIDE}")
        shutil.rmtree(former, ignore_errors=True)
        with atomic.new_folder(out) as folder:
            write_table(folder / CENSUS, self.census)
            write_table(folder / METRICS, self.metrics)
            tables = {"census": rows(self.census), "metrics": rows(self.metrics)}
            atomic.write_json(folder / EVALUATION, self.record | tables)
            with atomic.wrap_os_errors(out):
                if out.exists():
                    out.rename(former)
        shutil.rmtree(former, ignore_errors=True)


def check_out(out: Path, images: str | None, study: dict[str, Any]) -> None:
    """Check that a folder is empty, or holds an earlier evaluation of the same images and study.

    Raises:
        UserError: it holds something else.
    """
    with atomic.wrap_os_errors(out):
        held = {path.name for path in out.iterdir()} if out.exists() else set()
    if foreign := sorted(held - {EVALUATION, CENSUS, METRICS}):
        raise UserError(
            f"{out}: not empty and not an evaluation (it holds {foreign[0]}); choose another --out"
        )
    if held:
        there = atomic.read_json(out / EVALUATION, "remove the folder, or choose another --out")
        if (there.get("images", {}).get("path"), there.get("study")) != (images, study):
            other = "is the evaluation of other images, or by another study"
            raise UserError(f"{out}: {other}; choose another --out")
    atomic.check_writable(out)


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; undefined ones are null."""
    values = table.astype(object)
    return values.where(table.notna(), None).to_dict("records")
