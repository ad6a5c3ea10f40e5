"""What bfloat16 brings on this machine: this program against itself in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from imgcollapse.core.device import Device, choose_device
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.generators import DDPM, VAE
from imgcollapse.tools.bench.pairs import in_turns
from imgcollapse.tools.bench.pictures import dogs
from imgcollapse.tools.bench.plan import BenchSettings
from imgcollapse.tools.bench.result import Comparison, side
from imgcollapse.training.context import RunContext

STEPS = {"smoke": 2, "small": 30, "real": 60, "gpu": 300}
DRAWN = {"smoke": 10, "small": 500, "real": 1000, "gpu": 5000}


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Training and sampling of a VAE and of two diffusion models."""
    steps = STEPS[bench.size]
    shown: dict[str, tuple[VAE | DDPM, Images]] = {
        "VAE, 28 px gray": (VAE(steps=steps), dogs(1000, 28, gray=True)),
        "DDPM, 16 px, patch 2": (DDPM(steps=steps, attention=False, patch=2), dogs(1000, 16)),
        "DDPM, 32 px": (DDPM(steps=steps, channels=(32, 64, 64)), dogs(1000, 32)),
    }
    if bench.size == "smoke":
        shown = {"VAE, 28 px gray": (VAE(steps=steps, width=4), dogs(20, 28, gray=True))}
    low, full = (choose_device(str(bench.device.torch), each) for each in ("bfloat16", "float32"))
    for name, (part, images) in shown.items():
        batch = part.batch
        models: dict[str, Any] = {}

        def fit(
            on: Device, part: Any = part, images: Images = images, models: Any = models
        ) -> None:
            models[str(on.dtype)] = part.fit(images, RunContext(bench.seed, on, images.shape, 8))

        def draw(on: Device, images: Images = images, models: Any = models) -> None:
            labels = torch.full((DRAWN[bench.size],), UNKNOWN, dtype=torch.int16)
            models[str(on.dtype)].sample(labels, RunContext(bench.seed, on, images.shape, 8))

        for stage, work, n in (
            ("training", fit, steps * batch),
            ("sampling", draw, DRAWN[bench.size]),
        ):
            work(low), work(full)  # what libraries set up at the first call
            mine, others = in_turns(
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
