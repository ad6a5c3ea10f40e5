from __future__ import annotations

import math

import pytest
import torch
from contexts import run_context
from torch import Tensor, nn

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.training.batch_rng import BatchRNG
from imgcollapse.training.loop import train
from imgcollapse.training.training_config import TrainingConfig, adamw

from .conftest import Watcher, noise_images


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.zeros(()))


@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_one_cycle_has_the_bits_of_torchs(steps: int) -> None:
    config = TrainingConfig(steps, batch=1, lr=3e-3, schedule="one-cycle", optimizer=adamw)
    optimizer = config.optimizer([torch.zeros(1, requires_grad=True)], config.lr, 0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps)
    for step in range(steps):
        (group,) = optimizer.param_groups
        assert config.hyperparameters(step) == {name: group[name] for name in ("lr", "betas")}
        optimizer.step()
        schedule.step()


def test_step_size_warms_up_and_anneals() -> None:
    constant = TrainingConfig(steps=10, batch=1, lr=1.0, warmup=3)
    assert [constant.hyperparameters(step)["lr"] for step in range(5)] == [
        0.25,
        0.5,
        0.75,
        1.0,
        1.0,
    ]
    annealed = TrainingConfig(steps=10, batch=1, lr=1.0, warmup=2, schedule="cosine")
    assert annealed.hyperparameters(6)["lr"] == pytest.approx(0.5)  # half way down the cosine
    assert annealed.hyperparameters(9)["lr"] == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)


def test_keeps_the_moving_average_of_the_weights(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    path: list[float] = []

    def loss(pixels: Tensor, labels: Tensor, draws: BatchRNG) -> Tensor:
        path.append(network.at.item())
        return (network.at - 1) ** 2

    images = noise_images(4, (1, 1, 1), seed)
    network = Point()
    train(
        network,
        images,
        loss,
        TrainingConfig(4, 1, lr=0.1, ema=0.999),
        run_context(seed, progress=reporter),
    )
    averaged = network.at.item()
    network = Point()
    path.clear()
    train(network, images, loss, TrainingConfig(4, 1, lr=0.1), run_context(seed, progress=reporter))
    expected = 0.0
    for step, weight in enumerate([*path[1:], network.at.item()]):
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * weight
    assert averaged == pytest.approx(expected, rel=1e-5)


def test_every_step_has_its_own_draws_whatever_came_before(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    def draws(steps: int) -> list[tuple[list[float], float]]:
        seen = []

        def loss(pixels: Tensor, labels: Tensor, draws: BatchRNG) -> Tensor:
            seen.append((pixels.flatten().tolist(), draws.uniform()[0].item()))
            return network.at**2

        network = Point()
        images = noise_images(50, (1, 1, 1), seed)
        train(
            network,
            images,
            loss,
            TrainingConfig(steps, 6, lr=0.1),
            run_context(seed, progress=reporter),
        )
        return seen

    six = draws(6)
    assert draws(3) == six[:3]
    assert len({noise for _, noise in six}) == 6
    assert len({tuple(pixels) for pixels, _ in six}) == 6


def test_a_loss_that_is_no_number_is_one_line(cpu: Device, seed: Seed, reporter: Watcher) -> None:
    def loss(pixels: Tensor, labels: Tensor, draws: BatchRNG) -> Tensor:
        return network.at / 0

    network = Point()
    with pytest.raises(UserError, match=r"loss is nan in step 1 of 2; lower lr \(0.5\)"):
        train(
            network,
            noise_images(2, (1, 1, 1), seed),
            loss,
            TrainingConfig(2, 1, 0.5),
            run_context(seed),
        )
