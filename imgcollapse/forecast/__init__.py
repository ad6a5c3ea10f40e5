"""What a study will take, before it starts: images, steps, time, disk and memory.

course.py    what can be counted: training sets, steps, and the images drawn
trial.py     what must be measured: a few steps, one batch of samples, one measurement
estimate.py  both together: time, disk and memory
table.py     the plan on a terminal
"""

from imgcollapse.forecast.course import Course
from imgcollapse.forecast.estimate import Forecast, forecast
from imgcollapse.forecast.table import show, show_arms
from imgcollapse.forecast.trial import Probe, probe

__all__ = ["Course", "Forecast", "Probe", "forecast", "probe", "show", "show_arms"]
