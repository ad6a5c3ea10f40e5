"""Retries with half as many images at a time when a device has run out of memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from imgcollapse.core.errors import UserError
from imgcollapse.io.checkpoints import CheckpointManager
from imgcollapse.parallel.process_group import current_group

MICRO_BATCH, SAMPLE_BATCH = "micro_batch", "sample_batch"
"""Keys of the metadata: images at a time, where that had to be lowered."""


def accumulate_gradients(
    network: nn.Module,
    batch: int,
    loss_of: Callable[[slice], Tensor],
    checkpoints: CheckpointManager,
) -> Tensor:
    """Adds up the gradient of a batch's loss in the network, in micro-batches if memory ends.

    The batch stays what it is: its gradient is the sum over the parts', to float rounding. Where
    several processes are here each takes its rows, and all have the whole batch's gradient.
    `loss_of` gives the mean loss over rows of the batch; the mean over all is returned.

    Raises:
        UserError: one image is too large, or there are more processes than images.
    """
    world = current_group()
    rows = range(batch)[world.shard(batch)]
    if batch < world.size:
        raise UserError(
            f"generator.batch: {batch} images cannot be divided over {world.size} processes; "
            "raise it, or start fewer"
        )

    def descend(size: int) -> Tensor:
        network.zero_grad()
        losses = []
        for first in rows[::size]:
            part = slice(first, min(first + size, rows.stop))
            loss = loss_of(part) * ((part.stop - part.start) / batch)
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum().float()

    said = "going on with {} images at a time; a step is still over " + str(batch)
    loss = _halving(MICRO_BATCH, len(rows), descend, checkpoints, said)
    world.all_reduce_sum([loss, *(w.grad for w in network.parameters() if w.grad is not None)])
    return loss


def sample_with_oom_retry(
    size: int, draw: Callable[[int], Tensor], checkpoints: CheckpointManager
) -> Tensor:
    """Draws as many images as there is memory for, `size` at most; `UserError` if not even one."""
    said = "drawing {} images at a time; they may differ from those of an undisturbed run"
    return _halving(SAMPLE_BATCH, size, draw, checkpoints, said)


def _halving(
    key: str, most: int, work: Callable[[int], Tensor], checkpoints: CheckpointManager, said: str
) -> Tensor:
    """Works with `most` images at a time, or with what the metadata say that memory allows."""
    while True:
        size = min(most, checkpoints.metadata.get(key, most))
        try:
            return work(size)
        except torch.OutOfMemoryError:
            pass  # what it holds of the batch is free only after this line
        if size == 1:
            raise UserError(
                "device: it has not memory enough for one image at a time; use a smaller network, "
                "smaller images, or device=cpu"
            )
        checkpoints.add_metadata(key, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # so that larger pieces can be made of the free ones
        checkpoints.log(f"out of memory: {said.format(size // 2)}")
