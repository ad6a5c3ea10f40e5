"""What a reader sees of a run.

counts.py   the census as arrays
summary.py  what they say, in plain words
cells.py    which samples stand for a class in a generation
chart.py    one small chart, as SVG
curves.py   class shares, diversity and distances over generations
grids.py    the vanishing grid, grids of one generation, an animation
page.py     one HTML page over one run or several
"""

from imgcollapse.report.grids import animation, class_grid, vanishing_grid, write_grids
from imgcollapse.report.page import write_report

__all__ = ["animation", "class_grid", "vanishing_grid", "write_grids", "write_report"]
