"""What a reader sees of a run.

counts.py    the census as arrays
verdict.py   a run beside a perfect learner: chance, or the model?
summary.py   what they say, in plain words
rows.py      what they say, in tables
words.py     numbers and lists as a reader likes them
chart.py     one small chart, as SVG that follows the page's theme
figure.py    a chart or grid with its words, its files and its numbers
tidy.py      values over generations as tables
series.py    how a value over generations is drawn, with its bands
shares.py    class shares over generations, and each beside chance
curves.py    diversity and N_e/n over generations
distances.py metrics over generations, beside real against real
survival.py  how long classes live over lineages
kept.py      what the filters kept of each class, beside a blind choice
marked.py    how a watermark did
vocabulary.py  the words of images: how rare ones fade, which are lost
noticed.py   classes, words, pixels: which noticed first
cells.py     which samples stand for a class in a generation
pictures.py  samples as they stand on the page
sheet.py     cells in rows and columns as one picture
vector.py    the same as SVG
grids.py     the vanishing grid, grids of one generation, an animation
cite.py      what it takes to cite a run and to run it again
template.py  filling in a page's template
page.py      one HTML page over one run
comparison/  one HTML page over several runs, side by side
"""

from imgcollapse.report.grids import animation, class_grid, vanishing_grid, write_grids
from imgcollapse.report.page import write_report

__all__ = ["animation", "class_grid", "vanishing_grid", "write_grids", "write_report"]
