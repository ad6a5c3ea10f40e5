"""The context of a training or of sampling: seed, device, image shape, progress, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from imgcollapse.core.device import Device
from imgcollapse.core.progress import NullProgress, ProgressCallback
from imgcollapse.core.seeds import Seed
from imgcollapse.io.checkpoints import CheckpointManager


@dataclass(frozen=True)
class RunContext:
    """Holds what one training, and the sampling from its model, share with their caller.

    >>> context = RunContext(Seed((0,)), Device(torch.device("cpu"), torch.float32), (1, 8, 8), 10)
    >>> context.with_seed(context.seed / "sample").seed
    Seed(path=(0, 'sample'))
    """

    seed: Seed  # names every random draw
    device: Device  # the device that networks run on
    shape: tuple[int, int, int]  # channels, height, width of the images
    classes: int  # the number of classes; labels are below it
    progress: ProgressCallback = field(default_factory=NullProgress)  # by default reports nothing
    # Holds the metadata of the training; by default it saves nothing
    checkpoints: CheckpointManager = field(default_factory=CheckpointManager)

    def with_seed(self, seed: Seed) -> RunContext:
        """Returns the same context for draws under another seed."""
        return replace(self, seed=seed)
