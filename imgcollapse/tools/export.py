"""Exports a trained DDPM of a run folder as a diffusers pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from imgcollapse.core import device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DiffusionModel, export_pipeline
from imgcollapse.io import atomic
from imgcollapse.runs.run_dir import Run
from imgcollapse.training.context import RunContext


def export(
    folder: Path,
    out: Path,
    generation: int | None = None,
    lineage: int = 0,
    class_name: str | None = None,
) -> Path:
    """Writes the model of one generation of a run as a new folder for `DDPMPipeline`.

    No `generation` is the last one; a conditional model draws `class_name`, or without a class.

    Raises:
        UserError: there is no such model, or it is no DDPM.
    """
    run = Run.open(folder)
    study = run.study
    if not study.generator.exports_to_diffusers:
        raise UserError(
            f"{folder}: its generator is {study.generator.kind}, and only a ddpm has a diffusers "
            "pipeline; name a run of a ddpm"
        )
    if not 0 <= lineage < len(run.lineages):
        raise UserError(f"--lineage: {lineage} is not there; {folder} has {len(run.lineages)}")
    chosen = run.lineages[lineage]
    g = chosen.generations - 1 if generation is None else generation
    if not 1 <= g < chosen.generations:
        last = chosen.generations - 1
        raise UserError(f"--generation: {g} has no model; {folder} has 1 to {last}")
    classes = run.record["classes"]
    if class_name is not None and class_name not in classes:
        raise UserError(f"--class: {class_name!r} is not one of {', '.join(classes)}")
    if class_name is not None and not study.generator.conditional:
        raise UserError(
            f"--class: {class_name!r} was asked of a model that knows no classes; leave --class out"
        )
    with atomic.wrap_os_errors(out):
        if out.exists():
            raise UserError(f"{out}: is there already; choose another --out")
    channels, height, width = run.record["shape"]
    cpu = device.choose_device("cpu", "float32")
    context = RunContext(Seed((study.seed,)), cpu, (channels, height, width), len(classes))
    model = cast(DiffusionModel, study.generator.restore(chosen.model(g), context))
    label = None if class_name is None else classes.index(class_name)
    with atomic.new_folder(out) as folder, atomic.wrap_os_errors(out):
        export_pipeline(model, folder, label)
    return out
