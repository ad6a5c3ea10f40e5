"""A fault drill: a study is killed at random moments, and must end as its unbroken twin.

drill.py     the twins, the kills, a flipped bit
victim.py    the process that is killed, and where it was
compare.py   what must be the same in two runs
result.py    what was hit, and what became of it
"""

from imgcollapse.tools.fault_injection.drill import inject_faults
from imgcollapse.tools.fault_injection.fault_report import BitFlip, FaultReport, Kill

__all__ = ["BitFlip", "FaultReport", "Kill", "inject_faults"]
