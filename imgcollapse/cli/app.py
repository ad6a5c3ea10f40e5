"""The command line itself: what its verbs share, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.sanitize import invalid_folder_reason, one_line

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


@app.callback()
def _verb(context: typer.Context) -> None:
    if (verb := context.invoked_subcommand) not in (None, "run"):
        alone(verb)


def alone(what: str) -> None:
    """See that what is asked was not started as one of several processes.

    Raises:
        UserError: it was.
    """
    if (size := os.environ.get("WORLD_SIZE") or "1") != "1":
        raise UserError(
            f"{what}: was started {size} times (WORLD_SIZE), but only a run divides its work among "
            "processes; start it without accelerate and torchrun, or unset WORLD_SIZE"
        )


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


class Findings(Protocol):
    """What a look or a trial has found."""

    @property
    def wrong(self) -> Sequence[str]:
        """A line for each thing that is wrong."""
        ...

    def table(self) -> Any:
        """For a console."""
        ...

    def summary(self) -> str:
        """In one line."""
        ...


def conclude(found: Findings, notes: Sequence[str] = ()) -> None:
    """Print what was found; exit code 1 if something is wrong."""
    from rich.console import Console

    Console(highlight=False).print(found.table())
    for note in notes:
        print(f"note: {note}")
    for line in found.wrong:
        print(f"imgcollapse: {line}", file=sys.stderr)
    print(found.summary())
    if found.wrong:
        raise typer.Exit(1)


def place_for(config: Path, smoke: bool) -> Path:
    """Where a run goes that is given no place: into runs/, under the config's name."""
    name = config.stem + ("_smoke" if smoke else "")
    if why := invalid_folder_reason(name):
        raise UserError(
            f"{config}: its run folder would be called {name!r}, which {why}; set --out"
        )
    return Path("runs") / name
