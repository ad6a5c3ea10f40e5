"""Evaluation: the census and all metrics of images that any generator has made.

measure.py  reading the images, making the oracle ready, measuring
result.py   the answer as tables, and the folder it is written to
text.py     the answer on a terminal
"""

from imgcollapse.evaluation.measure import GENERATION, evaluate
from imgcollapse.evaluation.result import Evaluation
from imgcollapse.evaluation.text import show

__all__ = ["GENERATION", "Evaluation", "evaluate", "show"]
