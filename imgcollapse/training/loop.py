"""The training loop, for the generators' networks and for the oracle's CNN."""

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
"""(inputs [b, ...], int64[b] labels, their random numbers) => mean loss over them.

Inputs are float32[b, C, H, W] pixels in [-1, 1], or rows of what `train` was given in their place.
"""


def train(
    network: nn.Module,
    images: Images,
    loss_of: Loss,
    config: TrainingConfig,
    context: RunContext,
    inputs: Tensor | None = None,
) -> list[float]:
    """Trains a network on images by `loss_of`, and leaves the averaged weights in it.

    Step i draws its images, and their noise, from `seed / "step" / i` alone, so a training that
    was interrupted ends with the same bits. `inputs`, [N, ...], such as tokens, are what the loss
    takes in place of float pixels. Returns the loss of every step here that led to the result.

    Raises:
        UserError: there are no images, or not enough memory for one.
        Diverged: the loss or a weight is not finite, and with other batches again.
    """
    check_images(images)
    seed, device, checkpoints = context.seed, context.device, context.checkpoints
    network.to(device.torch).train()
    data = (images.pixels if inputs is None else inputs).to(device.torch)
    labels = images.labels.long().to(device.torch)
    rng_device = "cpu" if config.cpu_rng else device.torch

    def loss(rng: BatchRNG) -> Tensor:
        rows = rng.integers(len(data)).to(device.torch)
        with device.autocast():
            batch = to_float(data[rows]) if inputs is None else data[rows]
            return loss_of(batch, labels[rows], rng)

    def gradient(step_seed: Seed) -> Tensor:
        def loss_over(part: slice) -> Tensor:
            return loss(BatchRNG(step_seed, config.batch, rng_device, part))

        return accumulate_gradients(network, config.batch, loss_over, checkpoints)

    with device.deterministic():
        state = TrainState(network, config, checkpoints)
        step = record_step(network, config, loss, context) or gradient
        _run_steps(state, step, seed, context.progress)
    network.zero_grad()
    return state.losses


def _run_steps(
    state: TrainState, gradient: Gradient, seed: Seed, progress: ProgressCallback
) -> None:
    config, checkpoints, reported = state.config, state.checkpoints, time.monotonic()
    while state.step < config.steps:
        loss = gradient(state.step_seed(seed))
        if config.clip is not None:
            nn.utils.clip_grad_norm_(state.weights, config.clip)
        for group in state.optimizer.param_groups:
            group |= config.hyperparameters(state.step)
        state.optimizer.step()
        state.count_step(loss)
        last = state.step == config.steps
        saves = checkpoints.should_save(ends=last)
        if config.report_every:
            due = state.step % config.report_every == 0
        else:
            due = time.monotonic() - reported > REPORT_SECONDS
        if not current_group().broadcast(last or saves or due):
            continue
        reported, latest = time.monotonic(), state.sync_losses()
        if latest is None:
            continue
        progress("train", state.step, config.steps, state.step * config.batch, latest)
        if saves:
            state.save()
            signals.raise_if_stop_requested()
    state.finish()


def check_images(images: Images, conditional: bool = False) -> None:
    """Raises `UserError` for no images, or for one without a class where `conditional`."""
    if not len(images):
        raise UserError("training set: it is empty; give the generator at least one image")
    if conditional and int(images.labels.min()) < 0:
        raise UserError(
            f"generator.conditional: {int((images.labels < 0).sum())} of {len(images)}"
            " images have no class; set conditional: false"
        )


def load_weights(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Puts saved weights into a network; raises `UserError` for one of another shape."""
    try:
        network.load_state_dict(cast(dict[str, Tensor], state))
    except RuntimeError:
        raise UserError(
            "generator: the saved weights do not fit its settings;"
            " use the settings and image size the model was trained with"
        ) from None


def cpu_state(network: nn.Module) -> dict[str, Tensor]:
    """Returns a network's weights as named tensors on the CPU, contiguous."""
    return {
        name: weight.detach().cpu().contiguous() for name, weight in network.state_dict().items()
    }
