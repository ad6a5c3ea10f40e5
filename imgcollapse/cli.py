"""One verb per command: parse, call, print."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.text import one_line, unfit_folder

app = typer.Typer(
    name="imgcollapse",
    help="A laboratory for the collapse of image generators trained on their own samples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

REQUEUE = 75
"""Exit code of a command that a signal asked to stop: EX_TEMPFAIL, run it again."""

Config = Annotated[Path, typer.Argument(help="A study's YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings that replace the file's: key.subkey=value ..."),
]
Smoke = Annotated[bool, typer.Option("--smoke", help="Apply the file's one-minute settings.")]
Drift = Annotated[
    bool, typer.Option("--allow-drift", help="Go on with other software or on another machine.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what it will take, and write nothing.")
]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder.", show_default="runs/CONFIG")
    ] = None,
    smoke: Smoke = False,
    allow_drift: Drift = False,
    dry_run: DryRun = False,
) -> None:
    """Run a study, or resume it: the same command goes on where the last one stopped.

    Exit code 1 if a lineage diverged, 75 if SIGTERM or SIGUSR1 asked it to stop.
    """
    if dry_run:
        from rich.console import Console

        from imgcollapse.config import load_study
        from imgcollapse.forecast import forecast, probe, show

        study = load_study(config, overrides or [], smoke)
        show(forecast(study, probe(study)), Console(highlight=False))
        return
    from imgcollapse.core import stop, world
    from imgcollapse.launch import run as launch
    from imgcollapse.progress import Display
    from imgcollapse.report import write_report

    folder = out or _folder(config, smoke)
    with world.entered() as leads, Display() as display, stop.listening():
        if not leads:
            return  # all is done, and the leader says what there is to say
        try:
            begun = launch(config, folder, overrides or [], smoke, display, allow_drift)
        except (KeyboardInterrupt, Stopped) as why:
            lost = f"{why}. " if isinstance(why, world.Lost) else ""
            display.say(
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
        typer.Option(help="Lineages at a time.", show_default="cores by threads, 1 with a GPU"),
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
            help="With --ray, GPUs a lineage holds, such as 0.25.", show_default="1 if there are"
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option(help="How often a lineage whose process fails is tried again.")
    ] = 2,
    smoke: Smoke = False,
    allow_drift: Drift = False,
    dry_run: DryRun = False,
) -> None:
    """Run many studies side by side, or resume them; exit code 1 if a member fails."""
    from imgcollapse.core import stop
    from imgcollapse.report import write_report
    from imgcollapse.sweeps import Board, Local, Ray, foresee, load_plan
    from imgcollapse.sweeps import sweep as launch

    folder = out or _folder(plan, smoke)
    arms, board = load_plan(plan, overrides or [], smoke), Board(sys.stderr)
    at_a_time = arms.jobs() if jobs is None else jobs
    if dry_run:
        from rich.console import Console

        from imgcollapse.forecast import show_arms

        show_arms(dict(foresee(arms)), at_a_time, Console(highlight=False))
        return
    if ray and jobs is not None:
        raise UserError("--jobs: with --ray the cluster says how many run at a time; leave it out")
    backend = Ray(ray, gpus, retries) if ray else Local(at_a_time, retries)
    try:
        with stop.listening():
            done = launch(arms, folder, backend=backend, board=board, allow_drift=allow_drift)
    except (KeyboardInterrupt, Stopped) as stopped:
        board.say(f"Stopped. What is done is kept in {folder}; the same command goes on.")
        raise typer.Exit(REQUEUE if isinstance(stopped, Stopped) else 130) from None
    for trace in board.traces.values():
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
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("data.png"),
    smoke: Smoke = False,
) -> None:
    """Show a study's long-tailed set before anyone trains: counts, and a picture."""
    from rich.console import Console
    from rich.table import Table

    from imgcollapse.config import load_study
    from imgcollapse.core.storage import write_png
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


@app.command()
def evaluate(
    images: Annotated[
        Path,
        typer.Argument(
            help="A folder, zip, npz or safetensors file of images.", show_default=False
        ),
    ],
    config: Annotated[
        Path, typer.Argument(help="A study's YAML file, or a run folder.", show_default=False)
    ],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("evaluation"),
    smoke: Smoke = False,
) -> None:
    """Count the classes of any generator's images, and compare them with real ones."""
    from rich.console import Console

    from imgcollapse.evaluation import evaluate as measure
    from imgcollapse.evaluation import show
    from imgcollapse.progress import Display

    with Display() as display:
        found = measure(images, config, out, overrides or [], smoke, display)
    show(found, Console(highlight=False))
    print(out)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or a sweep's.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page.", show_default="RUN/report.html")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Of several, the one to compare with.", show_default="the first"),
    ] = None,
) -> None:
    """Write one HTML page, without network, over one run, or one that compares several."""
    from imgcollapse.report import write_report

    print(write_report(runs, out, baseline))


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a sweep's.", show_default=False)
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Hash all, make nothing again.")] = False,
) -> None:
    """Hash everything again, and make a part of it again; exit code 1 if something is wrong."""
    from rich.console import Console

    from imgcollapse.progress import Display
    from imgcollapse.verification import verify as look

    with Display() as display:
        found = look(folder, quick, display)
    Console(highlight=False).print(found.table())
    for note in found.notes:
        print(f"note: {note}")
    for line in found.wrong:
        print(f"imgcollapse: {line}", file=sys.stderr)
    print(found.summary())
    if found.wrong:
        raise typer.Exit(1)


@app.command()
def grid(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(help="Where the pictures go.", show_default="RUN/grids")
    ] = None,
) -> None:
    """Write sample grids, the vanishing grid and an animation."""
    from imgcollapse.report import write_grids

    for path in write_grids(folder, out or folder / "grids"):
        print(path)


@app.command()
def review(
    folder: Folder,
    generation: Annotated[
        int | None, typer.Option(help="Whose samples.", show_default="the last")
    ] = None,
    lineage: Annotated[int, typer.Option(help="Of which lineage.")] = 0,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    export: Annotated[
        Path | None, typer.Option(help="Write the page as one file instead, for another machine.")
    ] = None,
    take_in: Annotated[
        Path | None, typer.Option("--import", help="Take in the picks.json of an exported page.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print what people said against the oracle.")
    ] = False,
) -> None:
    """Keep, reject and name samples in the browser; a study with picks trains on what is kept."""
    from rich.console import Console

    from imgcollapse import review as page

    sitting = page.Sitting.open(folder, generation, lineage)
    if export:
        print(page.export(sitting, export))
        return
    if take_in:
        print(sitting.take_in_file(take_in))
    if take_in or summary:
        page.summarise(sitting, Console(highlight=False))
        return
    page.serve(sitting, host, port, print)
    print(page.progress(sitting))


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The diffusers folder to write.")],
    generation: Annotated[
        int | None, typer.Option(help="Which model.", show_default="the last")
    ] = None,
    lineage: Annotated[int, typer.Option(help="Of which lineage.")] = 0,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Of a conditional model, the class to draw.")
    ] = None,
) -> None:
    """Export a trained DDPM as a folder that diffusers' DDPMPipeline opens."""
    from imgcollapse.export import export as write_pipeline

    print(write_pipeline(folder, out, generation, lineage, class_name))


@app.command()
def chaos(
    config: Config,
    overrides: Overrides = None,
    kills: Annotated[int, typer.Option(help="How often.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="A new folder.", show_default="runs/chaos_CONFIG")
    ] = None,
    smoke: Smoke = False,
    seed: Annotated[int, typer.Option(help="Names moments and damage.")] = 0,
) -> None:
    """Kill a small study at random moments, damage it, and compare it with an unbroken twin."""
    from rich.console import Console

    from imgcollapse.chaos import drill
    from imgcollapse.config import load_study
    from imgcollapse.progress import Display

    study = load_study(config, overrides or [], smoke)
    folder = out or Path("runs") / f"chaos_{config.stem}"
    with Display() as display:
        found = drill(study, folder, kills, seed, display)
    Console(highlight=False).print(found.table())
    for line in found.wrong:
        print(f"imgcollapse: {line}", file=sys.stderr)
    print(found.summary())
    if found.wrong:
        raise typer.Exit(1)


@app.command()
def validate(
    only: Annotated[
        list[str] | None, typer.Option(help="A law such as T3; may be repeated.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Eight times the replicates; T1 as published.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("validation"),
    data: Annotated[Path, typer.Option(help="Where MNIST lies, for T1.")] = Path("data"),
    seed: Annotated[int, typer.Option(help="Names every draw.")] = 0,
) -> None:
    """Put this program to the published laws; exit code 1 if it breaks one."""
    from rich.console import Console

    from imgcollapse import validate as laws
    from imgcollapse.core.storage import check_writable
    from imgcollapse.progress import Display

    check_writable(out)
    with Display() as display:
        results = laws.validate(only or [], full, data, seed, say=display.say)
    Console().print(laws.table(results))
    print(laws.summary(results))
    print(laws.write(results, out))
    if any(result.verdict == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A part such as vae; may be repeated.", show_default="all that is promised"
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="smoke, small, real or gpu.")] = "real",
    repeats: Annotated[int, typer.Option(help="Pairs of every comparison.", min=1)] = 3,
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("bench.json"),
    device: Annotated[str, typer.Option(help="As in a study.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of this program's side.")] = "auto",
) -> None:
    """Measure speed, against what a user would otherwise run."""
    from rich.console import Console

    from imgcollapse import bench as speed
    from imgcollapse.core.storage import check_writable

    check_writable(out.absolute().parent)
    command = shlex.join(["imgcollapse", *sys.argv[1:]])
    console = Console(highlight=False)
    found = speed.bench(only or [], size, repeats, device, precision, command, console.print)
    for part in speed.tables(found):
        console.print(part)
    print(speed.write(found, out))


@app.command()
def doctor(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where runs are to be written.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine and this installation; exit code 1 if something must be mended."""
    from rich.console import Console

    from imgcollapse import doctor as checks

    findings = checks.examine(folder)
    if as_json:
        print(checks.as_json(findings))
    else:
        checks.show(findings, Console(highlight=False))
    if any(finding.verdict == "broken" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2."""
    if sys.getfilesystemencoding() != "utf-8":
        # A locale that knows no Unicode would hide what files are called from us.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it may have no place for its cache
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without Unicode is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Stopped as why:
        print(f"Stopped. {why}. The same command goes on.", file=sys.stderr)
        sys.exit(REQUEUE)
    except UserError as error:
        _refuse(str(error))
    except OSError as error:  # of a file or folder that nobody thought could be closed to us
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}; see to it and run the same command again")
    except MemoryError:
        _refuse("out of memory; ask for smaller images, batches or sets, or for a larger machine")
    except (ImportError, RuntimeError) as error:
        if not (isinstance(error, ImportError) or "torchvision::" in str(error)):
            raise
        _refuse(f"{error}; imgcollapse doctor says what is wrong and how to mend it")


def _refuse(line: str) -> None:
    print(f"imgcollapse: {one_line(line)}", file=sys.stderr)
    sys.exit(2)


def _folder(config: Path, smoke: bool) -> Path:
    """Where a run goes that is given no place: into runs/, under the config's name."""
    name = config.stem + ("_smoke" if smoke else "")
    if why := unfit_folder(name):
        raise UserError(
            f"{config}: its run folder would be called {name!r}, which {why}; set --out"
        )
    return Path("runs") / name


if __name__ == "__main__":
    main()
