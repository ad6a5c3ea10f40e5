"""Finds what is wrong with this machine or installation, and says how to fix it.

checks.py       all checks, without torch
torch_probe.py  torch, imported in a process of its own
show.py         results on a terminal or in a log
"""

from imgcollapse.tools.doctor.checks import CheckResult, Verdict, as_json, examine
from imgcollapse.tools.doctor.show import show

__all__ = ["CheckResult", "Verdict", "as_json", "examine", "show"]
