"""A diffusion model's training against the loop that diffusers documents; bfloat16 and float32."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from imgcollapse.tools.bench import references
from imgcollapse.tools.bench.harness import (
    BenchSettings,
    StepTimer,
    count_flops,
    digits,
    dogs,
    measure_in_turns,
    step_ratios,
)
from imgcollapse.tools.bench.result import Comparison, Quality, side
from imgcollapse.training.context import RunContext

TARGETS, BOUND = {"cpu": 1.2, "cuda": 3.0}, 0.02
POINTS = 10
"""Equal parts of a training whose mean losses make up its curve."""


@dataclass(frozen=True)
class Network:
    """A UNet and the length of its training.

    Attributes:
        side: pixels of an image; 8 are gray digits, others are colored dogs.
        channels: as in `DDPM`.
        layers: likewise.
        batch: images a step.
        steps: of training.
        lr: the largest step size.
    """

    side: int
    channels: tuple[int, ...]
    steps: int
    layers: int = 1
    batch: int = 64
    lr: float = 1e-3

    def images(self, n: int, held_out: bool = False) -> Images:
        """Its training images, or held-out ones."""
        return digits(n, held_out) if self.side == 8 else dogs(n, self.side, held_out=held_out)


SIZES = {
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

    def curve(self) -> list[float]:
        """The losses."""
        return self._losses


class Trained(NamedTuple):
    """A trained network, the loss of every step, and the times of the steps."""

    network: UNet2DModel
    losses: list[float]
    timer: StepTimer


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares networks of several sizes, from the same weights, with the same objective."""
    for size in SIZES[bench.size]:
        yield _compared(bench, size)


def _compared(bench: BenchSettings, size: Network) -> Comparison:
    n = size.steps * size.batch
    images, held_out = size.images(n), size.images(2000, held_out=True)
    dataset = references.ddpm_dataset(images)
    # The noise schedule of diffusers' default scheduler; both networks predict the noise.
    generator = DDPMWithLosses(
        channels=size.channels,
        layers=size.layers,
        steps=size.steps,
        batch=size.batch,
        lr=size.lr,
        warmup=min(50, size.steps // 4),
        schedule="linear",
        prediction="epsilon",
    )
    seed = bench.seed / "ddpm" / size.side

    def ours(pair: int) -> Trained:
        timer = StepTimer()
        model = generator.fit(images, RunContext(seed / pair, bench.device, images.shape, 1, timer))
        return Trained(model.network, generator.curve(), timer)

    def theirs(pair: int) -> Trained:
        timer = StepTimer()
        with (seed / pair / "init").seed_torch():
            network = unet(
                images.shape, generator.channels, generator.layers, generator.attention, None
            )
        with (seed / pair / "diffusers").seed_torch():
            losses = references.train_ddpm(
                network,
                dataset,
                generator.steps,
                generator.batch,
                generator.lr,
                generator.warmup,
                generator.ema,
                bench.device.torch,
                timer,
            )
        return Trained(network, losses, timer)

    mine, others = measure_in_turns(ours, theirs, bench.repeats, bench.device.torch)
    network = mine[0].outcome.network
    work = _flops(network, images, size.batch, bench.device.torch)
    shown = side("imgcollapse", mine, n)
    return Comparison(
        part="ddpm",
        title=f"DDPM training, {size.side} px, {images.shape[0]} channels, UNet "
        f"{'-'.join(map(str, size.channels))}, batch {size.batch}, {size.steps:,} steps",
        ours=shown,
        reference=side("diffusers' loop, float32, DataLoader", others, n),
        quality=Quality(
            what="loss of held-out images, averaged weights",
            ours=tuple(_held_out_loss(run.outcome.network, held_out, bench, seed) for run in mine),
            reference=tuple(
                _held_out_loss(run.outcome.network, held_out, bench, seed) for run in others
            ),
            bound=BOUND,
            curves=(
                curve([run.outcome.losses for run in mine]),
                curve([run.outcome.losses for run in others]),
            ),
        ),
        step_ratios=step_ratios(*([run.outcome.timer for run in runs] for runs in (mine, others))),
        target=bench.promised(TARGETS.get(bench.device.torch.type, 1.0)),
        flops=work,
        peak_share=work * shown.median / bench.peak(),
        chosen=bench.precision,
    )


def curve(losses: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Losses of several trainings, step by step => means of ten equal parts, over all."""
    steps = [statistics.fmean(at) for at in zip(*losses, strict=True)]
    each = max(1, len(steps) // POINTS)
    return tuple(statistics.fmean(steps[i : i + each]) for i in range(0, len(steps), each))


@torch.inference_mode()
def _held_out_loss(network: UNet2DModel, images: Images, bench: BenchSettings, seed: Seed) -> float:
    """Mean squared error of the noise, in float32, with the same noise and times for all."""
    where, alphas, found = bench.device.torch, _alphas(), []
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


def _alphas() -> Tensor:
    """Ho et al. 2020: betas from 1e-4 to 0.02 in 1,000 steps."""
    return (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)


def _flops(network: UNet2DModel, images: Images, batch: int, where: torch.device) -> float:
    """Operations of one image in training."""
    clean = to_float(images.pixels[:batch]).to(where)
    t = torch.zeros(len(clean), dtype=torch.int64, device=where)

    def step() -> None:
        with torch.enable_grad():
            F.mse_loss(network(clean, t, return_dict=False)[0], clean).backward()
        network.zero_grad()

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
        batch = part.batch
        models: dict[str, Any] = {}

        def fit(
            on: Device, part: Any = part, images: Images = images, models: Any = models
        ) -> None:
            models[str(on.dtype)] = part.fit(images, RunContext(bench.seed, on, images.shape, 8))

        def draw(on: Device, images: Images = images, models: Any = models) -> None:
            labels = torch.full((SAMPLES[bench.size],), UNKNOWN, dtype=torch.int16)
            models[str(on.dtype)].sample(labels, RunContext(bench.seed, on, images.shape, 8))

        for stage, work, n in (
            ("training", fit, steps * batch),
            ("sampling", draw, SAMPLES[bench.size]),
        ):
            for device in (low, full):
                work(device)  # the first call sets the libraries up
            mine, others = measure_in_turns(
                lambda _pair, w=work: w(low),
                lambda _pair, w=work: w(full),
                bench.repeats,
                bench.device.torch,
            )
            yield Comparison(
                part="precision",
                title=f"{name}: {stage}",
                ours=side("bfloat16", mine, n),
                reference=side("float32", others, n),
                chosen=bench.precision,
            )
