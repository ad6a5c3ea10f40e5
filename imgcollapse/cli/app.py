"""The command line: options that several verbs share, and exit codes."""

from __future__ import annotations

import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgcollapse.cli.console import open_console
from imgcollapse.config import yaml
from imgcollapse.core.errors import Stopped, UserError
from imgcollapse.core.sanitize import invalid_folder_reason, one_line, with_home
from imgcollapse.runs import check_is_run

if TYPE_CHECKING:
    from imgcollapse.tools.fault_injection import FaultReport
    from imgcollapse.tools.verify import Verification

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


def _refuse_dashes(given: Path | list[str] | None) -> Path | list[str] | None:
    for word in given if isinstance(given, list) else [str(given)]:
        if word.startswith("-"):
            setting = word.strip("-").partition("=")[0]
            raise UserError(f"{word}: no such option; a setting has no dashes, as {setting}=value")
    return given


def yaml_file(context: typer.Context, given: Path) -> Path:
    """Refuses a file that is missing or no YAML; torch is not loaded yet."""
    _refuse_dashes(given)
    example = "remedies/verifier" if context.info_name == "sweep" else "demo"
    yaml.read(given, f"name a YAML file, such as configs/{example}.yaml")
    return given


def _settings(context: typer.Context, given: list[str] | None) -> list[str] | None:
    """Refuses settings that are none, and a `data.path` that is not there."""
    _refuse_dashes(given)
    found, file = dict(yaml.setting(word) for word in given or ()), context.params.get("config")
    base = yaml.read(file, "") if file and file.is_file() else {}
    data = {**_mapping(base, "data"), **_mapping(found, "data")}
    kind = found.get("data.kind", data.get("kind"))
    path = found.get("data.path", _mapping(found, "data").get("path"))
    if kind == "folder" and isinstance(path, str) and not os.path.exists(with_home(path)):  # noqa: PTH110 - any text
        where = "" if os.path.isabs(path) else f", looked for in {Path.cwd()}"  # noqa: PTH117
        raise UserError(
            f"data.path: {path} does not exist{where}; set it to a folder, zip or tar of images"
        )
    return given


def _mapping(tree: Any, key: str) -> dict[str, Any]:
    below = tree.get(key) if isinstance(tree, dict) else None
    return below if isinstance(below, dict) else {}


def run_folders(given: Path | list[Path]) -> Path | list[Path]:
    """Refuses folders without records, which are no run's and no sweep's."""
    for folder in given if isinstance(given, list) else [given]:
        if not any(folder.glob("*.json*")):
            check_is_run(folder)
    return given


SETTINGS = {"ignore_unknown_options": True}
"""For verbs that take settings: an unknown option gets the hint that `--seed 1` is seed=1."""


def option(text: str, *names: str, default: str | bool = True, **more: Any) -> Any:
    """An option with its help; `default` says in words what None stands for."""
    return typer.Option(*names, help=text, show_default=default, **more)


def argument(text: str, **more: Any) -> Any:
    """An argument with its help."""
    return typer.Argument(help=text, show_default=False, **more)


Config = Annotated[Path, argument("The YAML file of a study.", callback=yaml_file)]
Overrides = Annotated[
    list[str] | None,
    argument("Settings in place of the file's: key.subkey=value ...", callback=_settings),
]
Smoke = Annotated[bool, option("Apply the file's one-minute settings.", "--smoke")]
AllowEnvChange = Annotated[
    bool, option("Resume with other software or on another machine.", "--allow-env-change")
]
AllowDrift = Annotated[bool, typer.Option("--allow-drift", hidden=True)]  # the former name
DryRun = Annotated[
    bool, option("Print estimated time, memory and disk space; write nothing.", "--dry-run")
]
Folder = Annotated[Path, argument("A run folder.", metavar="RUN", callback=run_folders)]
Number = Annotated[int, option("The lineage's number.", "--lineage")]


def _print_version(asked: bool) -> None:
    if asked:
        print(version("imgcollapse"))
        raise typer.Exit


Version = Annotated[bool, option("Print the version.", "--version", callback=_print_version)]


@app.callback()
def _verb(context: typer.Context, _version: Version = False) -> None:
    if (verb := context.invoked_subcommand) not in (None, "run"):
        alone(verb)


def alone(what: str) -> None:
    """Raises a `UserError` if the command was started as one of several processes."""
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
    if "" not in sys.path and not sys.flags.safe_path:
        sys.path.append("")  # parts of one's own are found in the current folder, installed first
    try:
        # Quoted, or after an equals sign, ~ is not expanded by a shell.
        app([re.sub("^(--[a-z-]+=)?(~.*)", _with_home, word) for word in sys.argv[1:]])
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


def _with_home(found: re.Match[str]) -> str:
    return (found[1] or "") + str(with_home(found[2]))


def _refuse(line: str) -> None:
    print(f"imgcollapse: {one_line(line)}", file=sys.stderr)
    sys.exit(2)


def conclude(found: Verification | FaultReport, notes: Sequence[str] = ()) -> None:
    """Prints a result; exit code 1 if there is a problem."""
    open_console().print(found.table())
    for note in notes:
        print(f"note: {note}")
    for line in found.wrong:
        print(f"imgcollapse: {line}", file=sys.stderr)
    print(found.summary())
    if found.wrong:
        raise typer.Exit(1)


def stopped(why: BaseException, folder: Path, log: Callable[[str], None]) -> typer.Exit:
    """Says that a signal or Ctrl-C ended a command; returns its exit code."""
    from imgcollapse.parallel.communicator import ConnectionLost

    lost = f"{why}. " if isinstance(why, ConnectionLost) else ""
    log(f"Stopped. {lost}What is done is kept in {folder}; the same command goes on.")
    return typer.Exit(REQUEUE if isinstance(why, Stopped) else 130)


def place_for(config: Path, smoke: bool) -> Path:
    """Returns the default run folder: runs/ and the config's name."""
    name = config.stem + ("_smoke" if smoke else "")
    if why := invalid_folder_reason(name):
        raise UserError(
            f"{config}: its run folder would be called {name!r}, which {why}; set --out"
        )
    return Path("runs") / name


def free_place(place: Path, check: Callable[[Path], Any], log: Callable[[str], None]) -> Path:
    """Returns the default folder, or the first numbered one that is not another study's.

    `check` raises an `OtherStudyError` of a folder that is.
    """
    from imgcollapse.runs.run_dir import OtherStudyError

    folder, first = place, None
    for number in itertools.count(2):
        try:
            check(folder)
        except OtherStudyError as error:
            first = first or error
            folder = place.with_name(f"{place.name}_{number}")
        else:
            break
    if first:
        log(f"{first.folder}: belongs to another study ({first.difference}); this is {folder}")
    return folder
