"""Fault injection: kills a study at random moments and flips a bit of it.

Each killed run must end with the files of an unbroken run, bit for bit.

inject.py      the kills, the flipped bit, the comparison, the report
killed_run.py  a process that runs the study until it is killed
"""

from imgcollapse.tools.fault_injection.inject import BitFlip, FaultReport, Kill, inject_faults

__all__ = ["BitFlip", "FaultReport", "Kill", "inject_faults"]
