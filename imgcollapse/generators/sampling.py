"""Images drawn a batch at a time, and kept on the way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from imgcollapse.core import stop
from imgcollapse.core.errors import Diverged
from imgcollapse.core.protocols import Progress
from imgcollapse.core.scratch import Scratch
from imgcollapse.generators.memory import draw_some

STAGE = "sample"


def in_batches(
    n: int,
    batch: int,
    luck: Callable[[], Tensor],
    draw: Callable[[Tensor, slice], Tensor],
    progress: Progress,
    scratch: Scratch | None,
) -> Tensor:
    """Draw n images, or what is left of them.

    Args:
        n: how many.
        batch: images at a time.
        luck: the next image's random numbers. Image i has the i-th, in a batch of any size.
        draw: luck of b images, and their rows among the n => uint8[b, C, H, W].
        progress: is told how far it is.
        scratch: where those drawn so far are kept.

    Returns:
        uint8[n, C, H, W].

    Raises:
        UserError: there is not memory enough for one image.
    """
    scratch = scratch or Scratch()
    kept, lucks = scratch.latest(STAGE), list[Tensor]()
    done, parts = (kept.number, [kept.tensors["pixels"]]) if kept else (0, [])
    for _ in range(done):
        luck()

    def next_ones(size: int) -> Tensor:
        lucks.extend(luck() for _ in range(size - len(lucks)))
        return draw(torch.stack(lucks[:size]), slice(done, done + size))

    while done < n:
        part = draw_some(min(batch, n - done), next_ones, scratch)
        parts.append(part)
        del lucks[: len(part)]
        done += len(part)
        progress("sample", done, n, done)
        if scratch.due(ends=done == n):
            scratch.keep(STAGE, done, {"pixels": torch.cat(parts)})
            stop.heed()
    return torch.cat(parts)


def numbers(drawn: Tensor) -> Tensor:
    """What was drawn, floats of any shape, as it is.

    Raises:
        Diverged: some of it are no numbers, and would become pixels without a word.
    """
    if not bool(drawn.isfinite().all()):
        raise Diverged(
            "samples: some are not numbers but nan or inf; lower generator.lr, or use "
            "precision float32"
        )
    return drawn
