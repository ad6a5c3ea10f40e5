"""Images drawn a batch at a time, and kept on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from imgcollapse.core import signals
from imgcollapse.core.errors import Diverged
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.context import RunContext
from imgcollapse.training.oom_retry import sample_with_oom_retry

STAGE = "sample"


def sample_in_batches(
    n: int,
    batch: int,
    luck: Callable[[], Tensor],
    draw: Callable[[Tensor, slice], Tensor],
    context: RunContext,
) -> Tensor:
    """Draw n images, or what is left of them; processes that are here take a batch each.

    `luck` gives the next image's random numbers: image i has the i-th, in a batch of any size.
    `draw` takes the luck of b images, and their rows among the n => uint8[b, C, H, W].
    """
    checkpoints = context.checkpoints
    kept = checkpoints.load_latest(STAGE)
    done, parts = (kept.step, [kept.tensors["pixels"]]) if kept else (0, [])
    for _ in range(done):
        luck()

    def batches() -> Iterator[tuple[int, Tensor]]:
        for first in range(done, n, batch):
            yield first, torch.stack([luck() for _ in range(first, min(first + batch, n))])

    def draw_all(batch: tuple[int, Tensor]) -> Tensor:
        """Draws a batch, in one go where memory allows."""
        row, lucks = batch
        drawn = list[Tensor]()
        while len(lucks):
            some = partial(_draw_first, lucks, row, draw)
            drawn.append(sample_with_oom_retry(len(lucks), some, checkpoints))
            row, lucks = row + len(drawn[-1]), lucks[len(drawn[-1]) :]
        return torch.cat(drawn)

    for part in current_group().scatter_map(draw_all, batches()):
        parts.append(part)
        done += len(part)
        context.progress("sample", done, n, done)
        if checkpoints.should_save(ends=done == n):
            checkpoints.save(STAGE, done, {"pixels": torch.cat(parts)})
            signals.raise_if_stop_requested()
    return torch.cat(parts)


def _draw_first(
    lucks: Tensor, row: int, draw: Callable[[Tensor, slice], Tensor], size: int
) -> Tensor:
    return draw(lucks[:size], slice(row, row + size))


def require_finite(drawn: Tensor) -> Tensor:
    """Returns samples, floats of any shape; raises `Diverged` for NaN or infinity."""
    if not bool(drawn.isfinite().all()):
        raise Diverged(
            "samples: some are not numbers but nan or inf; lower generator.lr, or use "
            "precision float32"
        )
    return drawn
