"""Drawing images in few steps against ancestral sampling in 1,000, by the same model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from imgcollapse import metrics
from imgcollapse.bench.pairs import Measured, in_turns, measured
from imgcollapse.bench.peak import flops
from imgcollapse.bench.plan import Bench
from imgcollapse.bench.references import ancestral
from imgcollapse.bench.result import Comparison, Quality, Solver, side
from imgcollapse.core.images import UNKNOWN, to_uint8
from imgcollapse.data import Exponential, PaperDogs, Splits, split
from imgcollapse.generators import DDPM, Diffusion
from imgcollapse.oracle import CNN, FrozenOracle
from imgcollapse.progress import Silent

TARGET, BOUND = 20.0, 0.05


@dataclass(frozen=True)
class Drawing:
    """How much is drawn, and by what.

    Attributes:
        images: drawn by each side, in all.
        at_once: of them; each such batch is a pair.
        training: steps of the model, and of the oracle whose features the metrics see.
        naming: real images of each class that the oracle learns from, and is judged on.
        channels: of the model.
        steps: of ancestral sampling.
    """

    images: int
    at_once: int
    training: tuple[int, int]
    naming: int = 100
    channels: tuple[int, ...] = (32, 64)
    steps: int = ancestral.STEPS


SIZES = {
    "smoke": Drawing(40, 20, (2, 2), naming=10, channels=(8,), steps=20),
    "small": Drawing(400, 200, (600, 200)),
    "real": Drawing(2000, 500, (2000, 400)),
    "gpu": Drawing(10_000, 2500, (8000, 1000)),
}

SOLVERS = [
    *(("dpm++", steps) for steps in (5, 8, 12, 20, 50)),
    *(("ddim", steps) for steps in (10, 20, 50)),
    *(("ddpm", steps) for steps in (20, 50, 200, 1000)),
]
"""Sampler and steps in the table of quality against steps."""


@dataclass(frozen=True)
class _Studio:
    """A trained model, and those who judge what it draws."""

    model: Diffusion
    oracle: FrozenOracle
    real: Tensor

    def features(self, pixels: Tensor) -> Tensor:
        return self.oracle.answer(pixels).features

    def fid(self, parts: Sequence[Measured[Tensor]]) -> metrics.Value:
        return metrics.fid(self.real, self.features(torch.cat([part.outcome for part in parts])))


def compare(bench: Bench) -> Iterator[Comparison]:
    """This program's default sampler against diffusers' DDPMPipeline."""
    size = SIZES[bench.size]
    studio = _studio(bench, size)
    mine, others = in_turns(
        lambda pair: _drawn(studio.model, size.at_once, bench, pair),
        lambda pair: _ancestral(studio.model, size, bench, pair),
        size.images // size.at_once,
        bench.device.torch,
    )
    ours, theirs = studio.fid(mine), studio.fid(others)
    settings = studio.model.settings
    work = settings.sample_steps * _flops(studio.model)
    shown = side("imgcollapse", mine, size.at_once)
    yield Comparison(
        part="sampling",
        title=f"{size.images:,} images of 16 px, {settings.sampler} in {settings.sample_steps} "
        f"steps against ancestral in {size.steps:,}",
        ours=shown,
        reference=side("diffusers' DDPMPipeline", others, size.at_once),
        quality=Quality(
            what="FID to as many real images",
            ours=(ours.value or 0.0,),
            reference=(theirs.value or 0.0,),
            bound=BOUND,
        ),
        target=bench.promised(TARGET),
        flops=work,
        peak_share=work * shown.median / bench.peak(),
        chosen=bench.precision,
    )


def solvers(bench: Bench) -> Iterator[Solver]:
    """Quality against steps: every sampler in several numbers of steps, one model."""
    size = SIZES[bench.size]
    studio = _studio(bench, size)
    for name, steps in SOLVERS:
        if steps > size.steps:
            continue
        settings = studio.model.settings.model_copy(update={"sampler": name, "sample_steps": steps})
        model = replace(studio.model, settings=settings)
        bench.say(f"{name} in {steps} steps")
        run = measured(lambda m=model: _drawn(m, size.images, bench, 0), bench.device.torch)
        seen = studio.features(run.outcome)
        found: dict[str, Any] = {
            "fid": metrics.fid(studio.real, seen),
            "kid": metrics.kid(studio.real, seen),
            **metrics.prdc(studio.real.double(), seen.double(), 5),
        }
        yield Solver(
            name=name,
            steps=steps,
            rate=size.images / run.seconds,
            metrics={
                metric: value[:3] for metric, value in found.items() if value.value is not None
            },
        )


def _studio(bench: Bench, size: Drawing) -> _Studio:
    """The demo's generator and oracle, trained on more dogs, and as many real dogs as are drawn."""
    training, naming = size.training
    real = split(
        PaperDogs(size=16, variety=0.5).load(),
        Exponential(factor=10, images=max(100, size.images)),
        Splits(oracle=size.naming, calibration=size.naming, reference=size.images),
        bench.seed / "sampling" / "split",
    )
    bench.say(f"a model to draw with: {training:,} steps")
    part = DDPM(channels=size.channels, patch=2, attention=False, lr=3e-3, steps=training)
    model = part.fit(
        real.train, len(real.classes), bench.seed / "sampling" / "fit", bench.device, Silent()
    )
    oracle = CNN(width=16, steps=naming).fit(
        real.oracle,
        real.calibration,
        len(real.classes),
        bench.seed / "sampling" / "oracle",
        bench.device,
        Silent(),
    )
    seen = oracle.answer(real.reference.pixels).features
    return _Studio(model, oracle, seen)


def _drawn(model: Diffusion, n: int, bench: Bench, pair: int) -> Tensor:
    labels = torch.full((n,), UNKNOWN, dtype=torch.int16)
    return model.sample(labels, bench.seed / "sampling" / "draw" / pair, Silent()).pixels


def _ancestral(model: Diffusion, size: Drawing, bench: Bench, pair: int) -> Tensor:
    floats = ancestral.sample(
        model.network,
        size.at_once,
        int(bench.seed / "sampling" / "ancestral" / pair) % 2**32,
        "squaredcos_cap_v2",
        "v_prediction",
        size.steps,
    )
    return to_uint8(model.canvas.leave(floats))


def _flops(model: Diffusion) -> float:
    """Of one image and step."""
    x = torch.zeros(8, *model.canvas.inside, device=model.device.torch)
    t = torch.zeros(8, dtype=torch.int64, device=model.device.torch)
    with torch.no_grad():
        return flops(lambda: model.network(x, t)) / len(x)
