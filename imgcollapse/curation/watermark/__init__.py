"""Samples bear a keyed, invisible mark, and what bears it stays out of the pool.

filter.py         the part of a study
spread.py         the mark and its detector
phase_law.py      what chance alone detects
attacks.py        what may happen to a marked image
radioactivity.py  whether a model has learned the mark
"""

from imgcollapse.curation.watermark.filter import Watermark

__all__ = ["Watermark"]
