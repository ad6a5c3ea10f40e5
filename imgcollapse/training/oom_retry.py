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

    Args:
        network: what the gradient is of.
        batch: B, images of the batch.
        loss_of: rows of it => mean loss over them.
        checkpoints: hold the micro-batch in their metadata, once it is lowered.

    Returns:
        Mean loss over the batch, without a gradient.

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
    while True:
        network.zero_grad()
        size = min(checkpoints.metadata.get(MICRO_BATCH, batch), len(rows))
        try:
            loss = _descend(rows, batch, size, loss_of)
            break
        except torch.OutOfMemoryError:
            pass  # what it holds of the batch is free only after this line
        _halve(MICRO_BATCH, size, checkpoints)
        checkpoints.log(
            f"out of memory: going on with {checkpoints.metadata[MICRO_BATCH]} images at a time; "
            f"a step is still over {batch}"
        )
    world.all_reduce_sum([loss, *(w.grad for w in network.parameters() if w.grad is not None)])
    return loss


def sample_with_oom_retry(
    size: int, draw: Callable[[int], Tensor], checkpoints: CheckpointManager
) -> Tensor:
    """Draws as many images as there is memory for, `size` at most.

    `checkpoints` hold the batch that fits in their metadata, once it is lowered. Raises `UserError`
    where one image does not fit.
    """
    while True:
        fits = min(size, checkpoints.metadata.get(SAMPLE_BATCH, size))
        try:
            return draw(fits)
        except torch.OutOfMemoryError:
            pass
        _halve(SAMPLE_BATCH, fits, checkpoints)
        checkpoints.log(
            f"out of memory: drawing {checkpoints.metadata[SAMPLE_BATCH]} images at a time; they "
            "may differ from those of an undisturbed run"
        )


def _descend(rows: range, batch: int, size: int, loss_of: Callable[[slice], Tensor]) -> Tensor:
    losses = []
    for first in rows[::size]:
        part = slice(first, min(first + size, rows.stop))
        loss = loss_of(part) * ((part.stop - part.start) / batch)
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum().float()


def _halve(fact: str, size: int, checkpoints: CheckpointManager) -> None:
    if size == 1:
        raise UserError(
            "device: it has not memory enough for one image at a time; use a smaller network, "
            "smaller images, or device=cpu"
        )
    checkpoints.add_metadata(fact, size // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # so that larger pieces can be made of the free ones
