"""Several runs side by side: remedies, regimes, generators.

arms.py         runs that can be compared, up to the last generation that all have reached
measures.py     what they are compared by, by lineage and generation
differences.py  a difference of two means over lineages, with its interval
lives.py        how long rare classes live, and whether two arms lose them at one pace
sentences.py    what was learned of each arm, and what cannot be concluded
figures.py      curves of all arms, one panel an arm, intervals of differences
tables.py       the numbers in these figures
samples.py      the same rows of the same lineage and generation, arm below arm
citation.py     what it takes to cite the comparison and to run all arms again
page.py         one HTML page
"""

from imgcollapse.report.comparison.page import write_comparison

__all__ = ["write_comparison"]
