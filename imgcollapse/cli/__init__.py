"""The command line: each verb parses its arguments, calls the library and prints the result.

app.py       what the verbs share, and how a command ends
run.py       run, sweep, data
inspect.py   evaluate, report, verify, grid, review, export
dev.py       validate, bench, chaos, doctor
progress.py  the progress bar
"""

from imgcollapse.cli import run  # isort: skip
from imgcollapse.cli import dev, inspect  # isort: skip
from imgcollapse.cli.app import REQUEUE, app, main

__all__ = ["REQUEUE", "app", "dev", "inspect", "main", "run"]
