"""Devices, a seed, and somebody who is told how far the work is and may ask it to stop."""

import signal

import pytest
import torch

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed

CPU = Device(torch.device("cpu"), torch.float32)
GPU = Device(torch.device("cuda"), torch.float32)
SEED = Seed(("fault",))

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ON_A_GPU_TOO = pytest.mark.parametrize(
    "device",
    [pytest.param(CPU, id="cpu"), pytest.param(GPU, id="gpu", marks=[pytest.mark.gpu, NO_GPU])],
)
"""A GPU replays the steps of a training (generators/replay.py), and what goes wrong in one."""


class Told:
    """Keeps what it is told, and asks the process to stop at given moments."""

    def __init__(self, **moments):
        """Moments are steps, or images, by stage: `Told(train=3)`."""
        self.moments = moments
        self.seen = []

    def __call__(self, stage, step, steps, images, loss=None):
        self.seen.append((stage, step))
        if self.moments.get(stage) == step:
            signal.raise_signal(signal.SIGTERM)
