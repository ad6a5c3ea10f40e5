"""One verb per command: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.core.errors import Stopped, UserError

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
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder.", show_default="runs/CONFIG")
    ] = None,
    smoke: Smoke = False,
) -> None:
    """Run a study, or resume it: the same command goes on where the last one stopped.

    Exit code 1 if a lineage diverged, 75 if SIGTERM or SIGUSR1 asked it to stop.
    """
    from imgcollapse.core import stop, world
    from imgcollapse.launch import run as launch
    from imgcollapse.progress import Display
    from imgcollapse.report import write_report

    folder = out or Path("runs") / (config.stem + ("_smoke" if smoke else ""))
    with world.entered() as leads, Display() as display, stop.listening():
        if not leads:
            return  # all is done, and the leader says what there is to say
        try:
            begun = launch(config, folder, overrides or [], smoke, display)
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
    smoke: Smoke = False,
) -> None:
    """Run many studies side by side, or resume them; exit code 1 if a member fails."""
    from imgcollapse.report import write_report
    from imgcollapse.sweeps import Board, Local, load_plan
    from imgcollapse.sweeps import sweep as launch

    folder = out or Path("runs") / (plan.stem + ("_smoke" if smoke else ""))
    arms, board = load_plan(plan, overrides or [], smoke), Board(sys.stderr)
    try:
        done = launch(
            arms, folder, backend=Local(arms.jobs() if jobs is None else jobs), board=board
        )
    except KeyboardInterrupt:
        board.say(f"Stopped. What is done is kept in {folder}; the same command goes on.")
        raise typer.Exit(130) from None
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


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2."""
    try:
        app()
    except Stopped as why:
        print(f"Stopped. {why}. The same command goes on.", file=sys.stderr)
        sys.exit(REQUEUE)
    except UserError as error:
        print(f"imgcollapse: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
