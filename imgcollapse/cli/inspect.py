"""Verbs that read run folders, or images of other programs."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imgcollapse.cli.app import Folder, Overrides, Smoke, app, conclude


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
    """Estimate class shares of any generator's images, and compare the images with real ones."""
    from rich.console import Console

    from imgcollapse.cli.console import print_evaluation
    from imgcollapse.cli.progress import ConsoleProgress
    from imgcollapse.tools.evaluate import evaluate as measure

    with ConsoleProgress() as display:
        found = measure(images, config, out, overrides or [], smoke, display)
    print_evaluation(found, Console(highlight=False))
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
        typer.Option(help="The run that the others are compared with.", show_default="the first"),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(help="A section of your own, as MODULE:CLASS; may be repeated."),
    ] = None,
) -> None:
    """Write an HTML report of one run, or a comparison of several."""
    from imgcollapse.report import write_report

    log = partial(print, file=sys.stderr)
    print(write_report(runs, out, baseline, section or (), log))


@app.command()
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a sweep's.", show_default=False)
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check hashes only; recompute nothing.")
    ] = False,
) -> None:
    """Check all hashes and recompute a part of the run; exit code 1 if something differs."""
    from imgcollapse.cli.progress import ConsoleProgress
    from imgcollapse.tools.verify import verify as look

    with ConsoleProgress() as display:
        found = look(folder, quick, display)
    conclude(found, found.notes)


@app.command()
def grid(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the pictures.", show_default="RUN/grids")
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
        int | None, typer.Option(help="The generation to review.", show_default="the last")
    ] = None,
    lineage: Annotated[int, typer.Option(help="The lineage's number.")] = 0,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 0,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the page to a file, for another machine."),
    ] = None,
    take_in: Annotated[
        Path | None, typer.Option("--import", help="Import the picks.json of an exported page.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Compare people's labels with the oracle's.")
    ] = False,
) -> None:
    """Keep, reject and label samples in the browser, for studies with the picks filter."""
    from rich.console import Console

    from imgcollapse.tools import review as page

    session = page.ReviewSession.open(folder, generation, lineage)
    if export:
        print(page.export(session, export))
        return
    if take_in:
        print(session.import_picks(take_in))
    if take_in or summary:
        page.summarize(session, Console(highlight=False))
        return
    page.serve(session, host, port, print)
    print(page.progress(session))


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The diffusers folder to write.")],
    generation: Annotated[
        int | None, typer.Option(help="The model's generation.", show_default="the last")
    ] = None,
    lineage: Annotated[int, typer.Option(help="The lineage's number.")] = 0,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class to sample, for a conditional model.")
    ] = None,
) -> None:
    """Export a trained DDPM as a folder for diffusers' DDPMPipeline."""
    from imgcollapse.tools.export import export as write_pipeline

    print(write_pipeline(folder, out, generation, lineage, class_name))
