"""What a reader sees of a run.

summary.py  what the census says, in numbers and in plain words
cells.py    which samples stand for a class in a generation
curves.py   curves over generations, as SVG
grids.py    the vanishing grid, grids of one generation, an animation
page.py     one HTML page over one run or several
"""

from imgcollapse.report.grids import animation, class_grid, vanishing_grid, write_grids
from imgcollapse.report.page import report

__all__ = ["animation", "class_grid", "report", "vanishing_grid", "write_grids"]
