"""Verbs that test this program and this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.cli.app import Config, Overrides, Smoke, app, conclude


@app.command()
def validate(
    only: Annotated[
        list[str] | None, typer.Option(help="A law such as T3; may be repeated.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Eight times the replicates; T1 as published.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the page.")] = Path("validation"),
    data: Annotated[Path, typer.Option(help="The folder with MNIST, for T1.")] = Path("data"),
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
) -> None:
    """Compare this program with published laws; exit code 1 if it violates one."""
    from rich.console import Console

    from imgcollapse.cli.progress import ConsoleProgress
    from imgcollapse.io.atomic import check_writable
    from imgcollapse.tools import validate as laws

    check_writable(out)
    with ConsoleProgress() as display:
        results = laws.validate(only or [], full, data, seed, log=display.log)
    Console().print(laws.table(results))
    print(laws.summary(results))
    print(laws.write(results, out))
    if any(result.verdict == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(help="A part such as vae; may be repeated.", show_default="all"),
    ] = None,
    size: Annotated[str, typer.Option(help="smoke, small, real or gpu.")] = "real",
    repeats: Annotated[int, typer.Option(help="Repetitions of each comparison.", min=1)] = 3,
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("bench.json"),
    device: Annotated[str, typer.Option(help="The device, as in a study.")] = "auto",
    precision: Annotated[str, typer.Option(help="The precision of this program.")] = "auto",
) -> None:
    """Measure speed against other implementations."""
    from rich.console import Console

    from imgcollapse.cli.bench_table import tables
    from imgcollapse.io.atomic import check_writable
    from imgcollapse.tools import bench as speed

    check_writable(out.absolute().parent)
    command = shlex.join(["imgcollapse", *sys.argv[1:]])
    console = Console(highlight=False)
    found = speed.bench(only or [], size, repeats, device, precision, command, console.print)
    for part in tables(found):
        console.print(part)
    print(speed.write(found, out))


@app.command()
def chaos(
    config: Config,
    overrides: Overrides = None,
    kills: Annotated[int, typer.Option(help="Number of kills.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="A new folder.", show_default="runs/chaos_CONFIG")
    ] = None,
    smoke: Smoke = False,
    seed: Annotated[int, typer.Option(help="Seed of the moments and of the flipped bit.")] = 0,
) -> None:
    """Kill a small study at random moments, flip a bit, and compare it with an unbroken run."""
    from imgcollapse.cli.progress import ConsoleProgress
    from imgcollapse.config.loader import load_study
    from imgcollapse.tools.fault_injection import inject_faults

    study = load_study(config, overrides or [], smoke)
    folder = out or Path("runs") / f"chaos_{config.stem}"
    with ConsoleProgress() as display:
        found = inject_faults(study, folder, kills, seed, display)
    conclude(found)


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option("--folder", help="The folder for runs.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine and this installation; exit code 1 if something must be fixed."""
    from rich.console import Console

    from imgcollapse.cli.console import print_checks
    from imgcollapse.tools import doctor as checks

    findings = checks.examine(folder)
    if as_json:
        print(checks.as_json(findings))
    else:
        print_checks(findings, Console(highlight=False))
    if any(finding.verdict == "broken" for finding in findings):
        raise typer.Exit(1)
