"""Verbs that run studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.cli.app import (
    REQUEUE,
    AllowDrift,
    AllowEnvChange,
    Config,
    DryRun,
    Overrides,
    Smoke,
    alone,
    app,
    place_for,
)
from imgcollapse.core.errors import Stopped, UserError


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder.", show_default="runs/CONFIG")
    ] = None,
    smoke: Smoke = False,
    allow_env_change: AllowEnvChange = False,
    allow_drift: AllowDrift = False,
    dry_run: DryRun = False,
) -> None:
    """Run a study, or resume it: the same command continues where the last one stopped.

    Exit code 1 if a lineage diverged, 75 if SIGTERM or SIGUSR1 asked it to stop.
    """
    if dry_run:
        from rich.console import Console

        from imgcollapse.cli.console import print_forecast
        from imgcollapse.config.loader import load_study
        from imgcollapse.experiment.forecast import forecast, measure_cost

        alone("run --dry-run")
        study = load_study(config, overrides or [], smoke)
        print_forecast(forecast(study, measure_cost(study)), Console(highlight=False))
        return
    from imgcollapse.cli.progress import ConsoleProgress
    from imgcollapse.core import signals
    from imgcollapse.experiment.runner import run as launch
    from imgcollapse.parallel import process_group
    from imgcollapse.report import write_report

    folder, env_change = out or place_for(config, smoke), allow_env_change or allow_drift
    with (
        process_group.join_process_group() as leads,
        ConsoleProgress() as display,
        signals.catch_signals(),
    ):
        if not leads:
            return  # all is done, and the leader says what there is to say
        try:
            begun = launch(config, folder, overrides or [], smoke, display, env_change)
        except (KeyboardInterrupt, Stopped) as why:
            lost = f"{why}. " if isinstance(why, process_group.ConnectionLost) else ""
            display.log(
                f"Stopped. {lost}What is done is kept in {folder}; the same command goes on."
            )
            raise typer.Exit(REQUEUE if isinstance(why, Stopped) else 130) from None
    print(write_report([folder]))
    if any(lineage.diverged for lineage in begun.lineages):
        raise typer.Exit(1)


@app.command()
def sweep(
    plan: Annotated[
        Path, typer.Argument(metavar="SWEEP", help="A sweep file.", show_default=False)
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The sweep's folder.", show_default="runs/SWEEP")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Lineages run at a time.", show_default="cores / threads; 1 with a GPU"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster instead: auto, host:port, or local to start one here.",
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            help="With --ray, GPUs for each lineage, such as 0.25.", show_default="1 if any"
        ),
    ] = None,
    retries: Annotated[int, typer.Option(help="Retries of a lineage whose process fails.")] = 2,
    smoke: Smoke = False,
    allow_env_change: AllowEnvChange = False,
    allow_drift: AllowDrift = False,
    dry_run: DryRun = False,
) -> None:
    """Run several studies side by side, or resume them; exit code 1 if one fails."""
    from imgcollapse.core import signals
    from imgcollapse.report import write_report
    from imgcollapse.sweeps import ProcessPool, Ray, SweepProgress, estimate_costs, load_plan
    from imgcollapse.sweeps import sweep as launch

    folder, env_change = out or place_for(plan, smoke), allow_env_change or allow_drift
    arms, progress = load_plan(plan, overrides or [], smoke), SweepProgress(sys.stderr)
    at_a_time = arms.jobs() if jobs is None else jobs
    if dry_run:
        from rich.console import Console

        from imgcollapse.cli.console import print_forecasts

        print_forecasts(dict(estimate_costs(arms)), at_a_time, Console(highlight=False))
        return
    if ray and jobs is not None:
        raise UserError("--jobs: with --ray the cluster says how many run at a time; leave it out")
    backend = Ray(ray, gpus, retries) if ray else ProcessPool(at_a_time, retries)
    try:
        with signals.catch_signals():
            done = launch(
                arms, folder, backend=backend, progress=progress, allow_env_change=env_change
            )
    except (KeyboardInterrupt, Stopped) as stopped:
        progress.log(f"Stopped. What is done is kept in {folder}; the same command goes on.")
        raise typer.Exit(REQUEUE if isinstance(stopped, Stopped) else 130) from None
    for trace in progress.traces.values():
        print(trace, file=sys.stderr)
    for failure in done.failures:
        print(f"imgcollapse: {failure}", file=sys.stderr)
    if any(run.lineages[0].generations for run in done.runs.values()):
        print(write_report([folder]))
    if done.failures:
        raise typer.Exit(1)


@app.command()
def data(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="The picture's file.")] = Path("data.png"),
    smoke: Smoke = False,
) -> None:
    """Show a study's real images before training: counts by class, and a picture."""
    from rich.console import Console
    from rich.table import Table

    from imgcollapse.config.loader import load_study
    from imgcollapse.io.atomic import write_png
    from imgcollapse.report import class_grid

    real = load_study(config, overrides or [], smoke).real()
    write_png(out, class_grid(real.train, real.classes))
    table = Table("class", "share")
    columns = {
        "train": real.train.labels,
        "oracle": real.oracle.labels,
        "calibration": real.calibration.labels,
        "reference": real.reference.labels,
        "reserve": real.reserve.labels,
    }
    for name in columns:
        table.add_column(name, justify="right")
    for label, name in enumerate(real.classes):
        counts = (f"{int((labels == label).sum()):,}" for labels in columns.values())
        table.add_row(name, f"{real.shares[label]:.2%}", *counts)
    table.add_section()
    table.add_row("all", "100%", *(f"{len(labels):,}" for labels in columns.values()))
    console = Console()
    console.print(table)
    for remark in real.remarks:
        console.print(remark, markup=False, highlight=False)
    channels, height, width = real.train.shape
    print(f"images {channels} x {height} x {width}, sha256 {real.digest}")
    print(out)
