"""Training of VAEs and diffusion models against plain loops; bfloat16 against float32."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from pydantic import PrivateAttr
from torch import Tensor

from imgcollapse.core.device import Device, choose_device
from imgcollapse.core.images import UNKNOWN, Images, to_float
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, VAE
from imgcollapse.generators.unet import unet
from imgcollapse.generators.vae import ConvVAE
from imgcollapse.tools.bench import references
from imgcollapse.tools.bench.harness import (
    BenchSettings,
    Judge,
    StepTimer,
    compare_in_turns,
    count_flops,
    digits,
    dogs,
)
from imgcollapse.tools.bench.result import Comparison
from imgcollapse.training.context import RunContext

VAE_TARGET, VAE_BOUND = 2.0, 0.01
LATENT = 20


class VAESize(NamedTuple):
    """Images of 28 px in gray, passes over them, and channels of the network.

    64 channels are the 647,000 weights of Shumailov et al. 2024.
    """

    images: int
    epochs: int = 1
    width: int = 64


VAE_SIZES = {
    "smoke": VAESize(512, width=8),
    "small": VAESize(10_000),
    "real": VAESize(60_000),
    "gpu": VAESize(60_000, epochs=2),
}


def compare_vaes(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares the convolutional VAE of Shumailov et al. 2024 at batch 256."""
    size = VAE_SIZES[bench.size]
    images = dogs(size.images, 28, gray=True)
    held_out = dogs(min(2000, size.images), 28, gray=True, held_out=True)
    dataset = references.vae_dataset(images)
    generator = VAE(latent=LATENT, width=size.width, epochs=size.epochs)

    def fresh(pair: int) -> ConvVAE:
        with (bench.seed / "vae" / pair / "init").seed_torch():
            return ConvVAE(images.shape, generator.latent, generator.width)

    def ours(pair: int) -> ConvVAE:
        seed = bench.seed / "vae" / pair
        return generator.fit(images, RunContext(seed, bench.device, images.shape, 0)).network

    def theirs(pair: int) -> ConvVAE:
        network = fresh(pair)
        plain = references.PlainVAE(network.encoder, network.decoder)
        with (bench.seed / "vae" / pair / "plain").seed_torch():
            references.train_vae(plain, dataset, size.epochs, generator, bench.device.torch)
        return network

    def judge(networks: Sequence[ConvVAE]) -> list[float]:
        return [_vae_loss(network, held_out, bench) for network in networks]

    steps = math.ceil(size.epochs * size.images / generator.batch)
    weights = sum(p.numel() for p in fresh(0).parameters())
    yield compare_in_turns(
        bench,
        "vae",
        f"VAE, {weights:,} weights, 28 px gray, batch {generator.batch}, {size.images:,} images, "
        f"{size.epochs} epoch{'s' * (size.epochs > 1)}",
        ours,
        theirs,
        steps * generator.batch,
        ("imgcollapse", "PyTorch, float32, DataLoader"),
        Judge("negative ELBO of held-out images, nats", VAE_BOUND, judge),
        target=bench.promised(VAE_TARGET),
        flops=_vae_flops(fresh(0), images, generator.batch),
    )


def _vae_loss(network: ConvVAE, images: Images, bench: BenchSettings) -> float:
    """Negative ELBO in float32, with the same noise for all."""
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


def _vae_flops(network: ConvVAE, images: Images, batch: int) -> float:
    """Operations of one image in training."""
    pixels = to_float(images.pixels[:batch])
    noise = torch.zeros(len(pixels), LATENT)
    return count_flops(lambda: negative_elbo(network, pixels, noise).backward()) / len(pixels)


DDPM_TARGETS, DDPM_BOUND = {"cpu": 1.2, "cuda": 3.0}, 0.02
POINTS = 10
"""Equal parts of a training whose mean losses make up its curve."""


class Network(NamedTuple):
    """A UNet, as in `DDPM`, and its training; images of 8 px are gray digits, others are dogs."""

    side: int
    channels: tuple[int, ...]
    steps: int
    layers: int = 1
    batch: int = 64
    lr: float = 1e-3

    def images(self, n: int, held_out: bool = False) -> Images:
        """Its training images, or held-out ones."""
        return digits(n, held_out) if self.side == 8 else dogs(n, self.side, held_out=held_out)


DDPM_SIZES = {
    "smoke": [Network(8, (8,), 6, batch=16)],
    "small": [Network(8, (32, 64), 150), Network(16, (32, 64), 40), Network(32, (32, 64, 64), 20)],
    "real": [Network(8, (32, 64), 600), Network(16, (32, 64), 200), Network(32, (32, 64, 64), 100)],
    "gpu": [
        # With 1e-3 the loss of the larger one rises again, on both sides.
        Network(32, (128, 256, 256), 250, layers=2, batch=128, lr=2e-4),
        Network(64, (128, 256, 256, 512), 250, layers=2, batch=64, lr=2e-4),
    ],
}


class DDPMWithLosses(DDPM):
    """The same generator, which keeps the loss of every step of its last training."""

    _losses: list[float] = PrivateAttr(default_factory=list)

    def _train(self, *of: Any, **more: Any) -> list[float]:
        self._losses = super()._train(*of, **more)
        return self._losses

    @property
    def losses(self) -> list[float]:
        """The losses."""
        return self._losses


class Trained(NamedTuple):
    """A trained network, the loss of every step, and the times of the steps."""

    network: UNet2DModel
    losses: list[float]
    timer: StepTimer


def compare_ddpms(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares networks of several sizes, from the same weights, with the same objective."""
    for size in DDPM_SIZES[bench.size]:
        yield _compared(bench, size)


def _compared(bench: BenchSettings, size: Network) -> Comparison:
    n = size.steps * size.batch
    images, held_out = size.images(n), size.images(2000, held_out=True)
    dataset = references.ddpm_dataset(images)
    # The noise schedule of diffusers' default scheduler; both networks predict the noise.
    settings = {name: value for name, value in size._asdict().items() if name != "side"}
    generator = DDPMWithLosses(
        **settings, warmup=min(50, size.steps // 4), schedule="linear", prediction="epsilon"
    )
    seed = bench.seed / "ddpm" / size.side

    def fresh(pair: int) -> UNet2DModel:
        with (seed / pair / "init").seed_torch():
            part = generator
            return unet(images.shape, part.channels, part.layers, part.attention, None)

    def ours(pair: int) -> Trained:
        timer = StepTimer()
        model = generator.fit(images, RunContext(seed / pair, bench.device, images.shape, 1, timer))
        return Trained(model.network, generator.losses, timer)

    def theirs(pair: int) -> Trained:
        network, timer, where = fresh(pair), StepTimer(), bench.device.torch
        with (seed / pair / "diffusers").seed_torch():
            losses = references.train_ddpm(network, dataset, generator, where, timer)
        return Trained(network, losses, timer)

    def judge(trained: Sequence[Trained]) -> list[float]:
        return [_ddpm_loss(each.network, held_out, bench, seed) for each in trained]

    return compare_in_turns(
        bench,
        "ddpm",
        f"DDPM training, {size.side} px, {images.shape[0]} channels, UNet "
        f"{'-'.join(map(str, size.channels))}, batch {size.batch}, {size.steps:,} steps",
        ours,
        theirs,
        n,
        ("imgcollapse", "diffusers' loop, float32, DataLoader"),
        Judge(
            "loss of held-out images, averaged weights",
            DDPM_BOUND,
            judge,
            lambda trained: curve([each.losses for each in trained]),
        ),
        timer=lambda trained: trained.timer,
        target=bench.promised(DDPM_TARGETS.get(bench.device.torch.type, 1.0)),
        flops=_ddpm_flops(fresh(0), images, size.batch, bench.device.torch),
    )


def curve(losses: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Losses of several trainings, step by step => means of ten equal parts, over all."""
    steps = [statistics.fmean(at) for at in zip(*losses, strict=True)]
    each = max(1, len(steps) // POINTS)
    return tuple(statistics.fmean(steps[i : i + each]) for i in range(0, len(steps), each))


@torch.inference_mode()
def _ddpm_loss(network: UNet2DModel, images: Images, bench: BenchSettings, seed: Seed) -> float:
    """Mean squared error of the noise, in float32, with the same noise and times for all."""
    where, found = bench.device.torch, []
    # Ho et al. 2020: betas from 1e-4 to 0.02 in 1,000 steps.
    alphas = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)
    network.to(where)  # pyright: ignore[reportArgumentType]
    network.eval()
    for first in range(0, len(images), 250):
        clean = to_float(images.pixels[first : first + 250])
        draw = (seed / "judge" / first).torch()
        t = torch.randint(0, len(alphas), (len(clean),), generator=draw)
        noise, a = torch.randn(clean.shape, generator=draw), alphas[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * clean + (1 - a).sqrt() * noise).to(where)
        predicted = network(noisy, t.to(where), return_dict=False)[0].float().cpu()
        found.append(F.mse_loss(predicted, noise, reduction="none").flatten(1).mean(1))
    return float(torch.cat(found).mean())


def _ddpm_flops(network: Any, images: Images, batch: int, where: torch.device) -> float:
    """Operations of one image in training."""
    network, clean = network.to(where), to_float(images.pixels[:batch]).to(where)
    t = torch.zeros(len(clean), dtype=torch.int64, device=where)

    def step() -> None:
        F.mse_loss(network(clean, t, return_dict=False)[0], clean).backward()

    return count_flops(step) / len(clean)


STEPS = {"smoke": 2, "small": 30, "real": 60, "gpu": 300}
SAMPLES = {"smoke": 10, "small": 500, "real": 1000, "gpu": 5000}


def compare_precisions(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares bfloat16 with float32 in a VAE and in two diffusion models."""
    steps = STEPS[bench.size]
    cases: dict[str, tuple[VAE | DDPM, Images]] = {
        "VAE, 28 px gray": (VAE(steps=steps), dogs(1000, 28, gray=True)),
        "DDPM, 16 px, patch 2": (DDPM(steps=steps, attention=False, patch=2), dogs(1000, 16)),
        "DDPM, 32 px": (DDPM(steps=steps, channels=(32, 64, 64)), dogs(1000, 32)),
    }
    if bench.size == "smoke":
        cases = {"VAE, 28 px gray": (VAE(steps=steps, width=4), dogs(20, 28, gray=True))}
    low, full = (choose_device(str(bench.device.torch), each) for each in ("bfloat16", "float32"))
    for name, (part, images) in cases.items():
        yield from _precisions(bench, name, part, images, low, full)


def _precisions(
    bench: BenchSettings, name: str, part: VAE | DDPM, images: Images, low: Device, full: Device
) -> Iterator[Comparison]:
    models: dict[Device, Any] = {}
    labels = torch.full((SAMPLES[bench.size],), UNKNOWN, dtype=torch.int16)

    def fit(on: Device, _pair: int = 0) -> None:
        models[on] = part.fit(images, RunContext(bench.seed, on, images.shape, 8))

    def draw(on: Device, _pair: int = 0) -> None:
        models[on].sample(labels, RunContext(bench.seed, on, images.shape, 8))

    works = (("training", fit, STEPS[bench.size] * part.batch), ("sampling", draw, len(labels)))
    for stage, work, n in works:
        for device in (low, full):
            work(device)  # the first call sets the libraries up
        sides, title = (partial(work, low), partial(work, full)), f"{name}: {stage}"
        yield compare_in_turns(bench, "precision", title, *sides, n, ("bfloat16", "float32"))
