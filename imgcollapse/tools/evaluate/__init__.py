"""Evaluation: the census and all metrics of images that any generator has made.

measure.py  reading the images, making the oracle ready, measuring
result.py   the answer as tables, and the folder it is written to
text.py     the answer on a terminal
"""

from imgcollapse.tools.evaluate.measure import GENERATION, evaluate
from imgcollapse.tools.evaluate.result import Evaluation
from imgcollapse.tools.evaluate.text import show

__all__ = ["GENERATION", "Evaluation", "evaluate", "show"]
