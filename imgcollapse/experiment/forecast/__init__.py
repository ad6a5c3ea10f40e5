"""What a study will take, before it starts: images, steps, time, disk and memory.

course.py    what can be counted: training sets, steps, and the images drawn
trial.py     what must be measured: a few steps, one batch of samples, one measurement
estimate.py  both together: time, disk and memory
table.py     the plan on a terminal
"""

from imgcollapse.experiment.forecast.estimate import Forecast, forecast
from imgcollapse.experiment.forecast.profile import CostProfile, measure_cost
from imgcollapse.experiment.forecast.schedule import Schedule
from imgcollapse.experiment.forecast.table import show, show_arms

__all__ = ["CostProfile", "Forecast", "Schedule", "forecast", "measure_cost", "show", "show_arms"]
