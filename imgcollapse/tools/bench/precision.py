"""Compares this program in bfloat16 with itself in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from imgcollapse.core.device import Device, choose_device
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.generators import DDPM, VAE
from imgcollapse.tools.bench.result import Comparison, side
from imgcollapse.tools.bench.settings import BenchSettings, dogs
from imgcollapse.tools.bench.timing import measure_in_turns
from imgcollapse.training.context import RunContext

STEPS = {"smoke": 2, "small": 30, "real": 60, "gpu": 300}
SAMPLES = {"smoke": 10, "small": 500, "real": 1000, "gpu": 5000}


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares training and sampling of a VAE and of two diffusion models."""
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
            work(low), work(full)  # the first call sets the libraries up
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
