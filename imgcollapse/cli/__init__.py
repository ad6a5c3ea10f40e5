"""The command line: each verb parses its arguments, calls the library and prints the result.

app.py       what the verbs share, and how a command ends
run.py       run, sweep, data
tools.py     evaluate, report, verify, grid, review, export, validate, bench, chaos, doctor
console.py   what verbs print;  tables.py  of bench and validate;  progress.py  the progress bar
"""

from imgcollapse.cli import run  # isort: skip
from imgcollapse.cli import tools  # isort: skip
from imgcollapse.cli.app import REQUEUE, app, main

__all__ = ["REQUEUE", "app", "main", "run", "tools"]
