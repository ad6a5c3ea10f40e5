"""The command line: options that several verbs share, and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.sanitize import invalid_folder_reason, one_line

app = typer.Typer(
    name="imgcollapse",
    help="Studies image generators that are trained on their own samples.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

REQUEUE = 75
"""Exit code of a command that a signal asked to stop: EX_TEMPFAIL, run it again."""

Config = Annotated[Path, typer.Argument(help="The YAML file of a study.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings in place of the file's: key.subkey=value ..."),
]
Smoke = Annotated[
    bool,
    typer.Option("--smoke", help="Apply the file's one-minute settings."),
]
AllowEnvChange = Annotated[
    bool,
    typer.Option("--allow-env-change", help="Resume with other software or on another machine."),
]
AllowDrift = Annotated[bool, typer.Option("--allow-drift", hidden=True)]  # the former name
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print estimated time, memory and disk space; write nothing."),
]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


def _print_version(asked: bool) -> None:
    if asked:
        print(version("imgcollapse"))
        raise typer.Exit


@app.callback()
def _verb(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    if (verb := context.invoked_subcommand) not in (None, "run"):
        alone(verb)


def alone(what: str) -> None:
    """Checks that the command was not started as one of several processes.

    Raises:
        UserError: it was.
    """
    if (size := os.environ.get("WORLD_SIZE") or "1") != "1":
        raise UserError(
            f"{what}: was started {size} times (WORLD_SIZE), but only a run divides its work among "
            "processes; start it without accelerate and torchrun, or unset WORLD_SIZE"
        )


def main() -> None:
    """Entry point: a user's mistake ends with one line and exit code 2."""
    if sys.getfilesystemencoding() != "utf-8":
        # With a locale without Unicode, file names could not be read.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its cache folder may not be writable
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without Unicode still works
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Stopped as why:
        print(f"Stopped. {why}. The same command goes on.", file=sys.stderr)
        sys.exit(REQUEUE)
    except UserError as error:
        _refuse(str(error))
    except OSError as error:  # a file or folder that is not accessible
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}; fix that and run the same command again")
    except MemoryError:
        _refuse("out of memory; use smaller images, batches or sets, or a larger machine")
    except (ImportError, RuntimeError) as error:
        if not (isinstance(error, ImportError) or "torchvision::" in str(error)):
            raise
        _refuse(f"{error}; imgcollapse doctor lists problems with fixes")


def _refuse(line: str) -> None:
    print(f"imgcollapse: {one_line(line)}", file=sys.stderr)
    sys.exit(2)


class Findings(Protocol):
    """The result of `verify` or `chaos`."""

    @property
    def wrong(self) -> Sequence[str]:
        """One line for each problem."""
        ...

    def table(self) -> Any:
        """Returns a table for the terminal."""
        ...

    def summary(self) -> str:
        """Returns the result in one line."""
        ...


def conclude(found: Findings, notes: Sequence[str] = ()) -> None:
    """Prints a result; exit code 1 if there is a problem."""
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
    """Returns the default run folder: runs/ and the config's name."""
    name = config.stem + ("_smoke" if smoke else "")
    if why := invalid_folder_reason(name):
        raise UserError(
            f"{config}: its run folder would be called {name!r}, which {why}; set --out"
        )
    return Path("runs") / name
