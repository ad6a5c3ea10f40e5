"""What is wrong with this machine or this installation, and how to mend it.

findings.py  what a check says
probe.py     torch, looked at in a process of its own: importing it may fail, or end the process
checks.py    all checks, one after another, without torch
  software.py  of what is installed
  machine.py   of the machine
show.py      on a terminal, in a log, as JSON
"""

from imgcollapse.tools.doctor.checks import examine
from imgcollapse.tools.doctor.findings import Problem, Verdict
from imgcollapse.tools.doctor.show import as_json, show

__all__ = ["Problem", "Verdict", "as_json", "examine", "show"]
