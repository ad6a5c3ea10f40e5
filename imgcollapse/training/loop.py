"""The one training loop: every network here learns by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import cast

from torch import Tensor, nn

from imgcollapse.core import signals
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, to_float
from imgcollapse.core.progress import ProgressCallback
from imgcollapse.core.seeds import Seed
from imgcollapse.parallel.process_group import current_group
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.context import RunContext
from imgcollapse.training.cuda_graph import Gradient, record_step
from imgcollapse.training.oom_retry import accumulate_gradients
from imgcollapse.training.train_state import TrainState
from imgcollapse.training.training_config import TrainingConfig

REPORT_SECONDS = 0.5

Loss = Callable[[Tensor, Tensor, BatchRNG], Tensor]
"""(float32[b, C, H, W] in [-1, 1], int64[b] labels, their draws) => mean over them, to minimise.

Where training is on tokens they are what it is given first, int64[b, T].
"""


def train(
    network: nn.Module,
    images: Images,
    loss_of: Loss,
    plan: TrainingConfig,
    context: RunContext,
    tokens: Tensor | None = None,
) -> list[float]:
    """Minimise a loss over images, and leave the averaged weights in `network`.

    Step i draws its images, and their noise, from `seed / "step" / i` alone, so a training that
    was interrupted ends with the same bits.

    Args:
        network: what learns.
        images: what it learns from.
        loss_of: what is minimised.
        plan: how long and how fast.
        context: seed, device, progress and checkpoints.
        tokens: int64[N, T], what the loss is given in place of the pixels; none gives it those.

    Returns:
        The loss of every step taken here that led to where it ended.

    Raises:
        UserError: there are no images, or no memory for one.
        Diverged: the loss or a weight is no number, and with other batches again.
    """
    check_images(images)
    seed, device, checkpoints = context.seed, context.device, context.checkpoints
    network.to(device.torch).train()
    seen = (images.pixels if tokens is None else tokens).to(device.torch)
    labels = images.labels.long().to(device.torch)

    def loss(draws: BatchRNG) -> Tensor:
        rows = draws.integers(len(seen))
        with device.autocast():
            shown = to_float(seen[rows]) if tokens is None else seen[rows]
            return loss_of(shown, labels[rows], draws)

    def by_parts(name: Seed) -> Tensor:
        def loss_over(part: slice) -> Tensor:
            return loss(BatchRNG(name, plan.batch, device.torch, part))

        return accumulate_gradients(network, plan.batch, loss_over, checkpoints)

    with device.deterministic():
        course = TrainState(network, plan, checkpoints)
        step = record_step(network, plan, loss, seed, device, checkpoints) or by_parts
        _follow(course, step, seed, context.progress)
    network.zero_grad()
    return course.losses


def _follow(course: TrainState, step: Gradient, seed: Seed, progress: ProgressCallback) -> None:
    """Go a course to its end."""
    plan, checkpoints, reported = course.plan, course.checkpoints, time.monotonic()
    while course.step < plan.steps:
        course.apply_gradients(step(course.seed(seed)))
        last = course.step == plan.steps
        keeps = checkpoints.should_save(ends=last)
        looks = last or keeps or time.monotonic() - reported > REPORT_SECONDS
        if not current_group().broadcast(looks):
            continue
        reported, value = time.monotonic(), course.sync_losses()
        if value is None:
            continue
        progress("train", course.step, plan.steps, course.step * plan.batch, value)
        if keeps:
            course.save()
            signals.raise_if_stop_requested()
    course.finish()


def check_images(images: Images, conditional: bool = False) -> None:
    """Refuse images that nothing can be learned from.

    Raises:
        UserError: there are none, or a conditional model meets one without a class.
    """
    if not len(images):
        raise UserError("training set: it is empty; give the generator at least one image")
    if conditional and int(images.labels.min()) < 0:
        raise UserError(
            f"generator.conditional: {int((images.labels < 0).sum())} of {len(images)}"
            " images have no class; set conditional: false"
        )


def load_weights(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put saved weights into a network.

    Raises:
        UserError: they belong to a network of another shape.
    """
    try:
        network.load_state_dict(cast(dict[str, Tensor], state))
    except RuntimeError:
        raise UserError(
            "generator: the saved weights do not fit its settings;"
            " use the settings and image size the model was trained with"
        ) from None


def cpu_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights as named tensors on the CPU, in the order of their indices."""
    return {
        name: weight.detach().cpu().contiguous() for name, weight in network.state_dict().items()
    }
