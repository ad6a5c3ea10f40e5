"""The folders of a run: writing them and reading them back."""

from pathlib import Path

from imgcollapse.core.errors import UserError

RECORD = "run.json"


def check_is_run(path: Path) -> None:
    """Raises a `UserError` if a folder is no run's; imports no torch."""
    if not (path / RECORD).is_file():
        runs = ", ".join(sorted(str(p.parent) for p in path.glob(f"*/{RECORD}")))
        raise UserError(
            f"{path}: not a run folder (no {RECORD}); name one, such as {runs or 'runs/demo'}"
        )
