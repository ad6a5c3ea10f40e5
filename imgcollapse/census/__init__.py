"""The census: class frequencies of a generation, with 95% intervals.

prevalence.py  class frequencies corrected for the oracle's errors, with a detection limit
agreement.py   people against the oracle, on samples
table.py       the rows of census.csv, and the status of a class: present, extinct or in between
"""

from imgcollapse.census.agreement import Agreement
from imgcollapse.census.prevalence import (
    HeldOut,
    Prevalence,
    adjusted_count,
    expectation_maximization,
    measured_shares,
    prevalence,
    score_interval,
)
from imgcollapse.census.table import (
    COLUMNS,
    RUNNING,
    UNRECOGNIZED,
    Expectation,
    Status,
    count,
    statuses,
)

__all__ = [
    "COLUMNS",
    "RUNNING",
    "UNRECOGNIZED",
    "Agreement",
    "Expectation",
    "HeldOut",
    "Prevalence",
    "Status",
    "adjusted_count",
    "count",
    "expectation_maximization",
    "measured_shares",
    "prevalence",
    "score_interval",
    "statuses",
]
