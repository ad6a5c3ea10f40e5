"""The cost of a study before it starts: images, steps, time, disk and memory.

profile.py   measured on a few steps, one batch of samples and one evaluation
estimate.py  the schedule of training sets and steps, and the estimate from both
table.py     the estimate on a terminal
"""

from imgcollapse.experiment.forecast.estimate import Forecast, Schedule, forecast
from imgcollapse.experiment.forecast.profile import CostProfile, measure_cost
from imgcollapse.experiment.forecast.table import show, show_arms

__all__ = ["CostProfile", "Forecast", "Schedule", "forecast", "measure_cost", "show", "show_arms"]
