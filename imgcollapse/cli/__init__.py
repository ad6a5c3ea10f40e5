"""One verb per command: parse, call, print.

app.py      what the verbs share, and how a command ends
run.py      run, sweep, data
inspect.py  evaluate, report, verify, grid, review, export
dev.py      validate, bench, chaos, doctor
"""

from imgcollapse.cli import run  # isort: skip
from imgcollapse.cli import dev, inspect  # isort: skip
from imgcollapse.cli.app import REQUEUE, app, main

__all__ = ["REQUEUE", "app", "dev", "inspect", "main", "run"]
