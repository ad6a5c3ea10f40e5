"""How many samples of each class there are, and how sure that is.

table.py  the census of one generation as rows
"""

from imgcollapse.census.table import COLUMNS, UNRECOGNISED, count, wilson

__all__ = ["COLUMNS", "UNRECOGNISED", "count", "wilson"]
