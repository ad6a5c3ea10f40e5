"""The census: class frequencies of a generation, with 95% intervals.

prevalence.py  class frequencies corrected for the oracle's errors, with a detection limit
agreement.py   people against the oracle, on samples
extinction.py  status of a class: present, below detection, or extinct
table.py       the rows of census.csv for one generation
"""

from imgcollapse.census.agreement import Agreement
from imgcollapse.census.extinction import RUNNING, Status, statuses
from imgcollapse.census.prevalence import (
    HeldOut,
    Prevalence,
    adjusted_count,
    expectation_maximization,
    prevalence,
    score_interval,
)
from imgcollapse.census.table import COLUMNS, UNRECOGNIZED, Expectation, count

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
    "prevalence",
    "score_interval",
    "statuses",
]
