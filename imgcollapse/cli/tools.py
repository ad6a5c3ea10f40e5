"""Verbs that read run folders or images, and that test this program and this machine."""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.cli.app import (
    SETTINGS,
    Config,
    Folder,
    Number,
    Overrides,
    Smoke,
    app,
    argument,
    conclude,
    option,
    run_folders,
    yaml_file,
)
from imgcollapse.cli.console import open_console, print_checks, print_evaluation
from imgcollapse.cli.progress import ConsoleProgress
from imgcollapse.core.errors import UserError


def _images(given: Path) -> Path:
    if not os.path.exists(given):  # noqa: PTH110 - of any text
        fix = "name a folder, zip, npz or safetensors of images"
        raise UserError(f"{given}: does not exist; {fix}")
    return given


def _study_or_run(context: typer.Context, given: Path) -> Path:
    if given.is_dir():
        run_folders(given)
    else:
        yaml_file(context, given)
    return given


@app.command(context_settings=SETTINGS)
def evaluate(
    images: Annotated[
        Path, argument("A folder, zip, npz or safetensors file of images.", callback=_images)
    ],
    config: Annotated[
        Path, argument("A study's YAML file, or a run folder.", callback=_study_or_run)
    ],
    overrides: Overrides = None,
    out: Annotated[Path, option("The folder to write.")] = Path("evaluation"),
    smoke: Smoke = False,
) -> None:
    """Estimate class shares of any generator's images, and compare the images with real ones."""
    from imgcollapse.tools.evaluate import evaluate as measure

    with ConsoleProgress() as display:
        found = measure(images, config, out, overrides or [], smoke, display)
    print_evaluation(found, open_console())
    print(out)


@app.command()
def report(
    runs: Annotated[
        list[Path], argument("Run folders, or a sweep's.", metavar="RUN...", callback=run_folders)
    ],
    out: Annotated[Path | None, option("The page.", default="RUN/report.html")] = None,
    baseline: Annotated[
        str | None, option("The run that the others are compared with.", default="the first")
    ] = None,
    section: Annotated[
        list[str] | None, option("A section of your own, as MODULE:CLASS; may be repeated.")
    ] = None,
) -> None:
    """Write an HTML report of one run, or a comparison of several."""
    from imgcollapse.report import write_report

    log = partial(print, file=sys.stderr)
    print(write_report(runs, out, baseline, section or (), log))


@app.command()
def verify(
    folder: Annotated[
        Path, argument("A run folder, or a sweep's.", metavar="RUN", callback=run_folders)
    ],
    quick: Annotated[bool, option("Check hashes only; recompute nothing.", "--quick")] = False,
) -> None:
    """Check all hashes and recompute a part of the run; exit code 1 if something differs."""
    from imgcollapse.tools.verify import verify as look

    with ConsoleProgress() as display:
        found = look(folder, quick, display)
    conclude(found, found.notes)


@app.command()
def grid(
    folder: Folder,
    out: Annotated[Path | None, option("The folder for the pictures.", default="RUN/grids")] = None,
) -> None:
    """Write sample grids, the vanishing grid and an animation."""
    from imgcollapse.report import write_grids

    for path in write_grids(folder, out or folder / "grids"):
        print(path)


@app.command()
def review(
    folder: Folder,
    generation: Annotated[
        int | None, option("The generation to review.", default="the last")
    ] = None,
    lineage: Number = 0,
    host: Annotated[str, option("A loopback address.")] = "127.0.0.1",
    port: Annotated[int, option("The port; 0 takes a free one.", min=0, max=65535)] = 0,
    export: Annotated[Path | None, option("Write the page to a file, for another machine.")] = None,
    take_in: Annotated[
        Path | None, option("Import the picks.json of an exported page.", "--import")
    ] = None,
    summary: Annotated[
        bool, option("Compare people's labels with the oracle's.", "--summary")
    ] = False,
) -> None:
    """Keep, reject and label samples in the browser, for studies with the picks filter."""
    from imgcollapse.tools import review as page

    session = page.ReviewSession.open(folder, generation, lineage)
    if export:
        print(page.export(session, export))
        return
    if take_in:
        print(session.import_picks(take_in))
    if take_in or summary:
        page.summarize(session, open_console())
        return
    page.serve(session, host, port, print)
    print(page.progress(session))


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, option("The diffusers folder to write.")],
    generation: Annotated[int | None, option("The model's generation.", default="the last")] = None,
    lineage: Number = 0,
    class_name: Annotated[
        str | None, option("The class to sample, for a conditional model.", "--class")
    ] = None,
) -> None:
    """Export a trained DDPM as a folder for diffusers' DDPMPipeline.

    With generator.patch above 1 the folder has a pipeline.py: DiffusionPipeline.from_pretrained(X,
    custom_pipeline=X, trust_remote_code=True) opens folder X.
    """
    from imgcollapse.tools.export import export as write_pipeline

    print(write_pipeline(folder, out, generation, lineage, class_name))


@app.command()
def validate(
    only: Annotated[list[str] | None, option("A law such as T3; may be repeated.")] = None,
    full: Annotated[bool, option("Eight times the replicates; T1 as published.", "--full")] = False,
    out: Annotated[Path, option("The folder for the page.")] = Path("validation"),
    data: Annotated[Path, option("The folder with MNIST, for T1.")] = Path("data"),
    seed: Annotated[int, option("Seed of every random draw.")] = 0,
) -> None:
    """Compare this program with published laws; exit code 1 if it violates one."""
    from imgcollapse.cli.tables import law_table
    from imgcollapse.io.atomic import check_writable
    from imgcollapse.tools import validate as laws

    check_writable(out)
    with ConsoleProgress() as display:
        results = laws.validate(only or [], full, data, seed, log=display.log)
    open_console().print(law_table(results))
    print(laws.summary(results))
    print(laws.write(results, out))
    if any(result.verdict == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def bench(
    only: Annotated[
        list[str] | None, option("A part such as vae; may be repeated.", default="all")
    ] = None,
    size: Annotated[str, option("smoke, small, real or gpu.")] = "real",
    repeats: Annotated[int, option("Repetitions of each comparison.", min=1)] = 3,
    out: Annotated[Path, option("The JSON file.")] = Path("bench.json"),
    device: Annotated[str, option("The device, as in a study.")] = "auto",
    precision: Annotated[str, option("The precision of this program.")] = "auto",
) -> None:
    """Measure speed against other implementations."""
    from imgcollapse.cli.tables import bench_tables
    from imgcollapse.io.atomic import check_writable
    from imgcollapse.tools import bench as speed

    check_writable(out.absolute().parent)
    command = shlex.join(["imgcollapse", *sys.argv[1:]])
    console = open_console()
    found = speed.bench(only or [], size, repeats, device, precision, command, console.print)
    for part in bench_tables(found):
        console.print(part)
    print(speed.write(found, out))


@app.command(context_settings=SETTINGS)
def chaos(
    config: Config,
    overrides: Overrides = None,
    kills: Annotated[int, option("Number of kills.")] = 20,
    out: Annotated[Path | None, option("A new folder.", default="runs/chaos_CONFIG")] = None,
    smoke: Smoke = False,
    seed: Annotated[int, option("Seed of the moments and of the flipped bit.")] = 0,
) -> None:
    """Kill a small study at random moments, flip a bit, and compare it with an unbroken run."""
    from imgcollapse.config.loader import load_study
    from imgcollapse.tools.fault_injection import inject_faults

    study = load_study(config, overrides or [], smoke)
    folder = out or Path("runs") / f"chaos_{config.stem}"
    with ConsoleProgress() as display:
        found = inject_faults(study, folder, kills, seed, display)
    conclude(found)


@app.command()
def doctor(
    folder: Annotated[Path, option("The folder for runs.", "--folder")] = Path(),
    as_json: Annotated[bool, option("Print JSON.", "--json")] = False,
) -> None:
    """Check this machine and this installation; exit code 1 if something must be fixed."""
    from imgcollapse.tools import doctor as checks

    findings = checks.examine(folder)
    if as_json:
        print(checks.as_json(findings))
    else:
        print_checks(findings, open_console())
    if any(finding.verdict == "broken" for finding in findings):
        raise typer.Exit(1)
