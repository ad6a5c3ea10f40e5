"""A training step that is recorded once and then replayed.

A small network keeps a GPU waiting: starting a kernel takes longer than running it. A CUDA graph
starts all those of a step at once (Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs").
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from imgcollapse.core.sanitize import first_line
from imgcollapse.core.seeds import Seed
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.batch_rng import BatchRNG, ReplayedBatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.oom_retry import MICRO_BATCH
from imgcollapse.training.training_config import TrainingConfig

REPLAYED = "replayed"  # fact: whether the steps were, or why not
WARMUP_STEPS = 3
"""Steps before the one that is recorded: libraries set themselves up in the first ones."""

Gradient = Callable[[Seed], Tensor]
"""Name of a step's draws => its loss, and the gradient is in the network."""


def record_step(
    network: nn.Module,
    config: TrainingConfig,
    loss_of: Callable[[BatchRNG], Tensor],
    context: RunContext,
) -> Gradient | None:
    """A step as one CUDA graph; None where that is not to be, or cannot be.

    `loss_of` takes the draws of a whole batch; the metadata of the checkpoints get the reason.
    """
    checkpoints, device = context.checkpoints, context.device.torch
    alone = current_group().size == 1 and MICRO_BATCH not in checkpoints.metadata
    if device.type != "cuda" or not (config.replay and alone):
        return None
    try:
        draws = ReplayedBatchRNG(context.seed / "rehearsal", config.batch, device)
        step = _Recording(network, draws, loss_of)
    except (RuntimeError, AssertionError) as error:  # out of memory is one, too
        network.zero_grad()
        checkpoints.add_metadata(REPLAYED, f"failed: {first_line(error)}")
        return None
    checkpoints.add_metadata(REPLAYED, "yes")
    return step


class _Recording:
    def __init__(
        self, network: nn.Module, draws: ReplayedBatchRNG, loss_of: Callable[[BatchRNG], Tensor]
    ) -> None:
        def step() -> Tensor:
            network.zero_grad()
            loss = loss_of(draws)
            loss.backward()
            draws.rewind()
            return loss.detach().float()

        # The graph keeps what a step needs for itself, and Adam will need this much besides.
        room = [torch.empty_like(weight) for weight in network.parameters() for _ in range(2)]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMUP_STEPS - 1):
                step()
            with _without_waiting():
                step()
        torch.cuda.current_stream().wait_stream(aside)
        self.draws, self.graph = draws, torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.loss = step()
        del room

    def __call__(self, name: Seed) -> Tensor:
        self.draws.reseed(name)
        self.graph.replay()
        return self.loss.clone()  # the next step overwrites it


@contextmanager
def _without_waiting() -> Iterator[None]:
    """A block in which it is an error to wait for the GPU: what waits cannot be recorded."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # "a prototype feature"
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
