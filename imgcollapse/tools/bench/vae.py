"""A VAE's training against a plain float32 loop, at equal final ELBO."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imgcollapse.core.images import Images, to_float
from imgcollapse.generators import VAE
from imgcollapse.generators.vae import ConvVAE
from imgcollapse.tools.bench import references
from imgcollapse.tools.bench.harness import BenchSettings, count_flops, dogs, measure_in_turns
from imgcollapse.tools.bench.result import Comparison, Quality, side
from imgcollapse.training.context import RunContext

TARGET, BOUND = 2.0, 0.01
LATENT = 20


@dataclass(frozen=True)
class Training:
    """The length of the training.

    Attributes:
        images: number of images, 28 px gray.
        epochs: passes over them.
        width: channels; 64 are the 647,000 weights of Shumailov et al. 2024.
    """

    images: int
    epochs: int = 1
    width: int = 64


SIZES = {
    "smoke": Training(512, width=8),
    "small": Training(10_000),
    "real": Training(60_000),
    "gpu": Training(60_000, epochs=2),
}


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares the convolutional VAE of Shumailov et al. 2024 at batch 256."""
    size = SIZES[bench.size]
    images = dogs(size.images, 28, gray=True)
    held_out = dogs(min(2000, size.images), 28, gray=True, held_out=True)
    dataset = references.vae_dataset(images)
    generator = VAE(latent=LATENT, width=size.width, epochs=size.epochs)

    def fresh(pair: int) -> ConvVAE:
        with (bench.seed / "vae" / pair / "init").seed_torch():
            return ConvVAE(images.shape, generator.latent, generator.width)

    def ours(pair: int) -> nn.Module:
        seed = bench.seed / "vae" / pair
        return generator.fit(images, RunContext(seed, bench.device, images.shape, 0)).network

    def theirs(pair: int) -> nn.Module:
        network = fresh(pair)
        plain = references.PlainVAE(network.encoder, network.decoder)
        with (bench.seed / "vae" / pair / "plain").seed_torch():
            references.train_vae(
                plain,
                dataset,
                size.epochs,
                generator.batch,
                generator.lr,
                generator.weight_decay,
                bench.device.torch,
            )
        return network

    mine, others = measure_in_turns(ours, theirs, bench.repeats, bench.device.torch)
    steps = math.ceil(size.epochs * size.images / generator.batch)
    work = _flops(fresh(0), images, generator.batch)
    shown = side("imgcollapse", mine, steps * generator.batch)
    yield Comparison(
        part="vae",
        title=f"VAE, {sum(p.numel() for p in fresh(0).parameters()):,} weights, 28 px gray, "
        f"batch {generator.batch}, {size.images:,} images, {size.epochs} epoch"
        + "s"
        * (size.epochs > 1),
        ours=shown,
        reference=side("PyTorch, float32, DataLoader", others, steps * generator.batch),
        quality=Quality(
            what="negative ELBO of held-out images, nats",
            ours=tuple(_held_out_loss(run.outcome, held_out, bench) for run in mine),
            reference=tuple(_held_out_loss(run.outcome, held_out, bench) for run in others),
            bound=BOUND,
        ),
        target=bench.promised(TARGET),
        flops=work,
        peak_share=work * shown.median / bench.peak(),
        chosen=bench.precision,
    )


def _held_out_loss(network: nn.Module, images: Images, bench: BenchSettings) -> float:
    """Negative ELBO in float32, with the same noise for all."""
    assert isinstance(network, ConvVAE)
    network = network.to(bench.device.torch).eval()
    noise = torch.randn(len(images), LATENT, generator=(bench.seed / "vae" / "judge").torch())
    with torch.inference_mode():
        pixels = to_float(images.pixels.to(bench.device.torch))
        return float(negative_elbo(network, pixels, noise.to(pixels.device)))


def negative_elbo(network: ConvVAE, pixels: Tensor, noise: Tensor) -> Tensor:
    """Mean over images in nats: Kingma & Welling 2014, equation 10."""
    mean, log_variance = network.encode(pixels)
    logits = network.decode(mean + (log_variance / 2).exp() * noise)
    error = F.binary_cross_entropy_with_logits(logits, (pixels + 1) / 2, reduction="sum")
    divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum()
    return (error + divergence) / len(pixels)


def _flops(network: ConvVAE, images: Images, batch: int) -> float:
    """Operations of one image in training."""
    pixels = to_float(images.pixels[:batch])
    noise = torch.zeros(len(pixels), LATENT)
    return count_flops(lambda: negative_elbo(network, pixels, noise).backward()) / len(pixels)
