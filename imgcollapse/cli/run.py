"""Verbs that run studies."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.cli.app import (
    SETTINGS,
    AllowDrift,
    AllowEnvChange,
    Config,
    DryRun,
    Overrides,
    Smoke,
    alone,
    app,
    argument,
    free_place,
    option,
    place_for,
    stopped,
    yaml_file,
)
from imgcollapse.cli.console import (
    open_console,
    print_data,
    print_forecast,
    print_forecasts,
    print_source,
)
from imgcollapse.cli.progress import ConsoleProgress
from imgcollapse.core.errors import Stopped, UserError

RAY = "Use a Ray cluster instead: auto, host:port, or local to start one here."


@app.command(context_settings=SETTINGS)
def run(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[Path | None, option("The run folder.", default="runs/CONFIG")] = None,
    smoke: Smoke = False,
    allow_env_change: AllowEnvChange = False,
    allow_drift: AllowDrift = False,
    dry_run: DryRun = False,
) -> None:
    """Run a study, or resume it: the same command continues where the last one stopped.

    Exit code 1 if a lineage diverged, 75 if SIGTERM or SIGUSR1 asked it to stop.
    """
    from imgcollapse.config.loader import load_study

    if dry_run:
        from imgcollapse.experiment.forecast import forecast, measure_cost

        alone("run --dry-run")
        study = load_study(config, overrides or [], smoke)
        print_forecast(forecast(study, measure_cost(study)), open_console())
        return
    from imgcollapse.core import signals
    from imgcollapse.experiment.runner import run as launch
    from imgcollapse.parallel import process_group
    from imgcollapse.report import write_report
    from imgcollapse.runs.run_dir import Run

    folder, env_change = out or place_for(config, smoke), allow_env_change or allow_drift
    with (
        process_group.join_process_group() as leads,
        ConsoleProgress() as display,
        signals.catch_signals(),
    ):
        if not leads:
            return  # all is done, and the leader says what there is to say
        study = load_study(config, overrides or [], smoke)
        if out is None:
            folder = free_place(folder, lambda at: Run.find(at, study.resolved()), display.log)
        try:
            begun = launch(study, folder, (), False, display, env_change)
        except (KeyboardInterrupt, Stopped) as why:
            raise stopped(why, folder, display.log) from None
    print(write_report([folder]))
    if any(lineage.diverged for lineage in begun.lineages):
        raise typer.Exit(1)


@app.command(context_settings=SETTINGS)
def sweep(
    plan: Annotated[Path, argument("A sweep file.", metavar="SWEEP", callback=yaml_file)],
    overrides: Overrides = None,
    out: Annotated[Path | None, option("The sweep's folder.", default="runs/SWEEP")] = None,
    jobs: Annotated[
        int | None, option("Lineages run at a time.", default="cores / threads; 1 with a GPU")
    ] = None,
    ray: Annotated[str | None, option(RAY, metavar="ADDRESS", default=False)] = None,
    gpus: Annotated[
        float | None, option("With --ray, GPUs for each lineage, such as 0.25.", default="1 if any")
    ] = None,
    retries: Annotated[int, option("Retries of a lineage whose process fails.")] = 2,
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
    if out is None and not dry_run:
        folder = free_place(folder, arms.check, progress.log)
    at_a_time = arms.jobs() if jobs is None else jobs
    if dry_run:
        print_forecasts(dict(estimate_costs(arms)), at_a_time, open_console())
        return
    if ray and jobs is not None:
        raise UserError("--jobs: with --ray the cluster says how many run at a time; leave it out")
    backend = Ray(ray, gpus, retries) if ray else ProcessPool(at_a_time, retries)
    try:
        with signals.catch_signals():
            done = launch(arms, folder, (), False, backend, progress, env_change)
    except (KeyboardInterrupt, Stopped) as why:
        raise stopped(why, folder, progress.log) from None
    for trace in progress.traces.values():
        print(trace, file=sys.stderr)
    for failure in done.failures:
        print(f"imgcollapse: {failure}", file=sys.stderr)
    if any(run.lineages[0].generations for run in done.runs.values()):
        print(write_report([folder]))
    if done.failures:
        raise typer.Exit(1)


@app.command(context_settings=SETTINGS)
def data(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[Path, option("The picture's file.")] = Path("data.png"),
    smoke: Smoke = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what was understood of a study's real images, their sets by class, and a picture."""
    from imgcollapse.config.loader import load_study
    from imgcollapse.data.summary import class_counts, summarize
    from imgcollapse.io.atomic import write_png
    from imgcollapse.report import class_grid

    if out.suffix.lower() != ".png":
        raise UserError(f"--out: {out}: the picture is a PNG; name it {out.with_suffix('.png')}")
    if not out.parent.is_dir():
        raise UserError(f"--out: {out.parent} is not a folder; create it, or choose another")
    study = load_study(config, overrides or [], smoke)
    source = study.data.checked_load()
    found = summarize(source)
    if not as_json:
        print_source(found, open_console())
    try:
        real = study.real(source)
    except UserError as error:
        if as_json:
            print(json.dumps({"source": found, "refused": str(error)}))
        raise
    write_png(out, class_grid(real.train, real.classes))
    if as_json:
        names = ("train", "oracle", "calibration", "reference", "reserve")
        sets = {name: class_counts(real.classes, getattr(real, name)) for name in names}
        facts = {"sha256": real.digest, "picture": str(out), "remarks": list(real.remarks)}
        print(json.dumps({"source": found, "sets": sets} | facts))
        return
    print_data(real, open_console())
    print(out)
