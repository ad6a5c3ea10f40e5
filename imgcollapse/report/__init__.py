"""The HTML report of one run or of several, and image files of a run.

page.py           writes one page: sections, in the order of sections/__init__.py
section.py        base class of a section, and the blocks that it is made of
sections/         the sections, one class each
data.py           the runs of a page: census, metrics, test against drift alone
arrays.py         the census and metrics as arrays over lineages; means, intervals, tables
drift_test.py     a run beside a perfect learner: drift, or the model?
measures.py       what several runs are compared by: differences with intervals, survival
chart.py          charts as SVG that follows the page's theme, with their files and numbers
grid_layout.py    which samples stand in which cell of an image grid
grid_painters.py  an image grid as HTML, SVG and PNG
grids.py          image files: vanishing grid, grids of a generation, animation
formatting.py     numbers and lists as text, and tooltips of terms
"""

from imgcollapse.report.grids import animation, class_grid, vanishing_grid, write_grids
from imgcollapse.report.page import write_report
from imgcollapse.report.section import (
    Block,
    Bullets,
    Charts,
    Column,
    Details,
    Facts,
    Group,
    Section,
    Table,
    TableRow,
    Text,
)

__all__ = [
    "Block",
    "Bullets",
    "Charts",
    "Column",
    "Details",
    "Facts",
    "Group",
    "Section",
    "Table",
    "TableRow",
    "Text",
    "animation",
    "class_grid",
    "vanishing_grid",
    "write_grids",
    "write_report",
]
