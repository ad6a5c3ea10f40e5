from __future__ import annotations

import math

import torch
from contexts import run_context

from imgcollapse.core.device import Device
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import VAE
from imgcollapse.generators.vae import ConvVAE, negative_elbo
from imgcollapse.training.batch_rng import BatchRNG

from .conftest import COLOURS, Watcher, noise_images, two_colours

MANY = torch.zeros(60, dtype=torch.int16)


def test_is_shumailov_s_network_at_28_pixels(seed: Seed) -> None:
    settings = VAE()
    with seed.seed_torch():
        network = ConvVAE((1, 28, 28), settings.latent, settings.width)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1000) == 647


def test_the_elbo_of_a_network_that_says_nothing_is_known(seed: Seed) -> None:
    """All weights zero: every pixel's mean is 1/2, q(z|x) the prior: log 2 nats a pixel."""
    with seed.seed_torch():
        network = ConvVAE((3, 5, 6), latent=4, width=2)
    for weight in network.parameters():
        weight.data.zero_()
    pixels = torch.rand(7, 3, 5, 6, generator=seed.torch()) * 2 - 1
    nats = negative_elbo(network, pixels, 1.0, BatchRNG(seed, 7))
    torch.testing.assert_close(nats, 90 * torch.tensor(2.0).log())
    # A posterior mean of 1 and variance of e costs (e - 1)/2 nats in each of the 4 dimensions.
    network.encoder[-1].bias.data.fill_(1.0)
    with_divergence = negative_elbo(network, pixels, 0.5, BatchRNG(seed, 7))
    torch.testing.assert_close(with_divergence - nats, torch.tensor(2.0) * math.expm1(1) / 2)


def test_learns_two_colours(cpu: Device, seed: Seed, reporter: Watcher) -> None:
    settings = VAE(width=8, latent=2, steps=150, batch=32, lr=5e-3)
    images = two_colours(64)
    model = settings.fit(images, run_context(seed, progress=reporter))
    *report, loss = reporter.seen[-1]
    assert report == ["train", 150, 150, 150 * 32]
    # Saying the mean colour costs log 2 nats a pixel; the best is the pixels' entropy and one bit.
    share = COLOURS[0] / 255
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    worst, best = 64 * math.log(2), 64 * entropy + math.log(2)
    assert loss is not None
    assert best - 2 < loss < (best + worst) / 2
    codes = model.encode(images.pixels)
    assert codes.shape == (64, 2)
    drawn = (
        model.sample(MANY, run_context(seed / "sample", progress=reporter))
        .pixels.float()
        .mean((1, 2, 3))
    )
    # The prior puts images between the two as well.
    for colour in COLOURS:
        assert (drawn - colour).abs().min() < 5


def test_epochs_count_passes_over_the_training_set(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    settings = VAE(width=4, latent=2, epochs=3, batch=32)
    settings.fit(two_colours(50), run_context(seed, progress=reporter))
    assert reporter.seen[-1][1] == 5  # 150 images in batches of 32


def test_decode_sample_draws_black_and_white_with_the_means_shares(
    cpu: Device, seed: Seed, reporter: Watcher
) -> None:
    mean = VAE(width=4, latent=2, steps=3, temperature=0)
    images = noise_images(40, (1, 8, 8), seed)
    model = mean.fit(images, run_context(seed, progress=reporter))
    means = model.sample(MANY, run_context(seed / "sample", progress=reporter)).pixels
    assert (means == means[0]).all()  # temperature 0: every image is the prior's mode
    sample = mean.model_copy(update={"decode": "sample"})
    drawn = sample.restore(model.state(), run_context(seed)).sample(
        torch.zeros(2000, dtype=torch.int16), run_context(seed / "sample", progress=reporter)
    )
    assert set(drawn.pixels.unique().tolist()) == {0, 255}
    expected = means[0].float() / 255
    shares = (drawn.pixels == 255).float().mean(0)
    standard_error = (expected * (1 - expected) / 2000).sqrt()
    # 64 pixels: 4.5 standard errors hold all but once in 2,000 seeds; then the rounding.
    assert ((shares - expected).abs() < 4.5 * standard_error + 0.5 / 255).all()
