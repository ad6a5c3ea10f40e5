"""One batch, divided in any way: the same numbers for the same image."""

from __future__ import annotations

import pytest
import torch
from contexts import run_context
from torch import Tensor

from imgcollapse.core.device import Device
from imgcollapse.core.images import to_float
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM
from imgcollapse.generators.vae import ConvVAE, negative_elbo
from imgcollapse.training.batch_rng import BatchRNG, ReplayedBatchRNG

from .conftest import noise_images

B = 7


def taken(draws: BatchRNG) -> list[Tensor]:
    """What a loss might take, in one order."""
    return [draws.integers(1000), draws.integers(10), draws.normal(3, 4, 5), draws.uniform()]


def test_a_whole_batch_draws_what_its_seed_s_generator_does(seed: Seed) -> None:
    source = seed.torch()
    expected = [
        torch.randint(1000, (B,), generator=source),
        torch.randint(10, (B,), generator=source),
        torch.randn(B, 3, 4, 5, generator=source),
        torch.rand(B, generator=source),
    ]
    for own, plain in zip(taken(BatchRNG(seed, B)), expected, strict=True):
        assert own.dtype == plain.dtype
        assert own.equal(plain)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 9])
def test_parts_laid_end_to_end_are_the_whole(size: int, seed: Seed) -> None:
    parts = [taken(BatchRNG(seed, B, part=slice(at, at + size))) for at in range(0, B, size)]
    for whole, pieces in zip(taken(BatchRNG(seed, B)), zip(*parts, strict=True), strict=True):
        assert torch.cat(list(pieces)).equal(whole)


def test_a_loss_is_the_mean_of_the_losses_of_its_parts(cpu: Device, seed: Seed) -> None:
    """For the VAE and a conditional DDPM, whose noise, timesteps and hidden labels are drawn."""
    images = noise_images(B, (1, 8, 8), seed)
    pixels, labels = to_float(images.pixels), images.labels.long()
    with seed.seed_torch():
        coder = ConvVAE(images.shape, latent=3, width=4)
    settings = DDPM(channels=(8,), steps=1, conditional=True, label_dropout=0.5)
    diffusion = settings.fit(images, run_context(seed))
    losses = [
        lambda rows, draws: negative_elbo(coder, pixels[rows], 1.0, draws),
        lambda rows, draws: diffusion.loss(pixels[rows], labels[rows], draws),
    ]
    for loss in losses:
        with torch.no_grad():
            whole = loss(slice(None), BatchRNG(seed, B))
            parts = sum(
                loss(part, BatchRNG(seed, B, part=part)) * len(pixels[part]) / B
                for part in (slice(0, 2), slice(2, 3), slice(3, B))
            )
        # float32 sums in another order.
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=0)


def test_draws_into_the_same_memory_are_those_of_every_step(seed: Seed) -> None:
    draws = ReplayedBatchRNG(seed, B)
    first = taken(draws)
    where = [numbers.data_ptr() for numbers in first]
    for name in (seed, seed / "another", seed):
        draws.reseed(name)
        found = taken(draws)
        assert [numbers.data_ptr() for numbers in found] == where
        for one, plain in zip(found, taken(BatchRNG(name, B)), strict=True):
            assert torch.equal(one, plain)
    draws.rewind()
    assert torch.equal(taken(draws)[0], found[0])
