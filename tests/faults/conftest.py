import signal

import pytest
import torch

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed

CPU = Device(torch.device("cpu"), torch.float32)
SEED = Seed(("fault",))


class Told:
    """Keeps what it is told, and asks the process to stop at given moments."""

    def __init__(self, **moments):
        """Moments are steps, or images, by stage: `Told(train=3)`."""
        self.moments = moments
        self.seen, self.lines = [], []

    def __call__(self, stage, step, steps, images, loss=None):
        self.seen.append((stage, step))
        if self.moments.get(stage) == step:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def every_step(monkeypatch):
    """Progress is told of every step, so that a test can act at any of them."""
    monkeypatch.setattr("imgcollapse.generators.training.REPORT_SECONDS", -1)
