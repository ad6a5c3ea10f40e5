import pytest

from imgcollapse.core.progress import NullProgress
from imgcollapse.sweeps.tasks import TaskRunner

SWEEP = """
study:
  generations: 2
  lineages: 2
  samples: 40
  data: {kind: digits}
  longtail: {kind: exponential, factor: 8, images: 40}
  splits: {oracle: 60, calibration: 30, reference: 40}
  generator: {kind: ddpm, channels: [8], steps: 4, sample_steps: 2, warmup: 1}
  oracle: {kind: cnn, steps: 20, width: 8}
  metrics: {per_class: false}
  precision: float32
arms:
  replace: {regime: replace}
  accumulate: {title: all of them, regime: accumulate}
smoke:
  generations: 1
"""


class InProcess:
    """A backend that runs every task in this process, in order."""

    def __init__(self):
        self.done, self.runner = [], TaskRunner(NullProgress())

    def run(self, tasks, progress):
        ended = {}
        for task in tasks:
            assert task.ready(ended), "a task needs only earlier ones"
            self.runner.run(task)
            self.done.append(task.key)
            ended[task.key] = None
        return {}


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(SWEEP)
    return path
