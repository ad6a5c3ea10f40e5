"""Run contexts for tests."""

import torch

from imgcollapse.core.device import Device
from imgcollapse.core.progress import NullProgress
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.training.context import RunContext

CPU = Device(torch.device("cpu"), torch.float32)


def run_context(seed, device=CPU, progress=None, checkpoints=None, shape=(1, 8, 8), classes=2):
    """A context on the CPU for two classes of 8 x 8 images, unless told otherwise."""
    return RunContext(
        seed, device, shape, classes, progress or NullProgress(), checkpoints or CheckpointManager()
    )
