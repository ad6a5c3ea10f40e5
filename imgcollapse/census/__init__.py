"""How many samples of each class there are, and how sure that is.

prevalence.py  class shares from an oracle that errs, with intervals and a detection limit
agreement.py   people against the oracle, on samples
extinction.py  present, below detection, or extinct
table.py       the census of one generation as rows
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
    wilson,
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
    "wilson",
]
