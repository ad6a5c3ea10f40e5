"""The HTML report of one run or of several, and image files of a run.

page.py           writes one page: sections, in the order of sections/__init__.py
section.py        base class of a section, and the blocks that it is made of
sections/         one file for each section
data.py           the runs of a page: census, metrics, test against chance
census_arrays.py  the census as arrays
drift_test.py     a run beside a perfect learner: chance, or the model?
measures.py       what several runs are compared by, and differences with intervals
survival.py       Kaplan-Meier curves of classes
tables.py         values over generations: mean, interval, tables
chart.py          small charts as SVG that follows the page's theme
figure.py         a chart or grid with its description, files and numbers
grid_layout.py    which samples stand in which cell of an image grid
grid_painters.py  an image grid as HTML, SVG and PNG
grids.py          image files: vanishing grid, grids of a generation, animation
formatting.py     numbers and lists as text
terms.py          tooltips of terms
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
