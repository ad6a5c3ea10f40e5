"""Evaluation: the census and all metrics of images that any generator has made.

measure.py  reads the images, prepares the oracle, measures
result.py   an evaluation as tables, and the folder it is written to
text.py     the answer on a terminal
"""

from imgcollapse.tools.evaluate.measure import GENERATION, evaluate
from imgcollapse.tools.evaluate.result import Evaluation
from imgcollapse.tools.evaluate.text import show

__all__ = ["GENERATION", "Evaluation", "evaluate", "show"]
