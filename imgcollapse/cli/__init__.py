"""One verb per command: parse, call, print.

app.py       what the verbs share, and how a command ends
studies.py   run, sweep, data
readers.py   evaluate, report, verify, grid, review, export
trials.py    validate, bench, chaos, doctor
"""

from imgcollapse.cli import studies  # isort: skip
from imgcollapse.cli import readers, trials  # isort: skip
from imgcollapse.cli.app import REQUEUE, app, main

__all__ = ["REQUEUE", "app", "main", "readers", "studies", "trials"]
