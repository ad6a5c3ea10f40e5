"""Compares sampling in few steps with ancestral sampling in 1,000, by the same model.

The model is conditional, and draws as many images of each class as there are real ones. With random
classes the distance is mostly that of the class counts: two sets of 2,000 real images are then
eight times as far from each other as a good sample of the same classes is from either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from imgcollapse.core.images import to_uint8
from imgcollapse.data import Exponential, PaperDogs, Splits, split
from imgcollapse.generators import DDPM, DiffusionModel
from imgcollapse.generators.diffusers_export import without_classes
from imgcollapse.generators.noise_schedule import Sampler
from imgcollapse.oracle import CNN, FrozenOracle
from imgcollapse.tools.bench import references
from imgcollapse.tools.bench.generations import DISTANCE, distance, feature_metrics
from imgcollapse.tools.bench.harness import (
    BenchSettings,
    Judge,
    compare_in_turns,
    count_flops,
    measure,
)
from imgcollapse.tools.bench.result import Comparison, Solver
from imgcollapse.training.context import RunContext

TARGET, BOUND = 20.0, 0.05


class Drawing(NamedTuple):
    """Sizes of a model and its samples.

    `images` of each class are drawn by each side at once: a pair. `training` is the steps of the
    model, and of the oracle that extracts the features; `oracle` is the real images of each class
    in its training set, and in its held-out set; `steps` are of ancestral sampling.
    """

    images: int
    training: tuple[int, int]
    oracle: int = 100
    channels: tuple[int, ...] = (32, 64)
    steps: int = references.NOISE_LEVELS


SIZES = {
    "smoke": Drawing(5, (2, 2), oracle=10, channels=(8,), steps=20),
    "small": Drawing(50, (600, 200)),
    "real": Drawing(250, (2000, 400)),
    "gpu": Drawing(1250, (8000, 1000)),
}

SAMPLER, STEPS = "sde-dpm++", 20
"""A solver of the same stochastic equation as ancestral sampling."""

SOLVERS: list[tuple[Sampler, int]] = [
    *(("sde-dpm++", steps) for steps in (8, 12, 20, 50)),
    *(("dpm++", steps) for steps in (5, 8, 12, 20, 50)),
    *(("ddim", steps) for steps in (10, 20, 50)),
    *(("ddpm", steps) for steps in (20, 50, 200, 1000)),
]
"""Sampler and steps in the table of quality against steps."""


class _Trained(NamedTuple):
    """A trained model, an oracle, the features of real images, and their classes."""

    model: DiffusionModel
    oracle: FrozenOracle
    real: Tensor
    labels: Tensor

    def features(self, pixels: Tensor) -> Tensor:
        return self.oracle.predict(pixels).features

    def distance(self, drawn: Sequence[Tensor]) -> list[float]:
        """The distance of all drawn images from the real ones."""
        return [distance(self.real, self.features(torch.cat(list(drawn))))]


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares a few steps of `SAMPLER` with diffusers' DDPMPipeline, class by class."""
    size = SIZES[bench.size]
    trained = _train(bench, size)
    model = _with(trained.model, SAMPLER, STEPS)
    classes = trained.labels.unique()
    alone = [without_classes(model, int(label)) for label in classes]
    for network in alone:
        cast(nn.Module, network).to(bench.device.torch)
    yield compare_in_turns(
        bench,
        "sampling",
        f"{len(trained.labels):,} images of 16 px, {SAMPLER} in {STEPS} steps against "
        f"ancestral in {size.steps:,}",
        lambda pair: _drawn(model, classes[pair].repeat(size.images), bench, pair),
        lambda pair: _ancestral(model, alone[pair], size, bench, pair),
        size.images,
        ("imgcollapse", "diffusers' DDPMPipeline"),
        Judge(
            f"{DISTANCE.label} to as many real images of the same classes", BOUND, trained.distance
        ),
        pairs=len(classes),
        target=bench.promised(TARGET),
        flops=STEPS * _flops(model),
    )


def solvers(bench: BenchSettings) -> Iterator[Solver]:
    """Measures the quality of every sampler in several numbers of steps, with one model."""
    size = SIZES[bench.size]
    trained = _train(bench, size)
    for name, steps in SOLVERS:
        if steps > size.steps:
            continue
        bench.log(f"{name} in {steps} steps")
        model = _with(trained.model, name, steps)
        run = measure(lambda m=model: _drawn(m, trained.labels, bench, 0), bench.device.torch)
        seen = trained.features(run.outcome)
        found = [metric.between(trained.real, seen) for metric in feature_metrics()]
        yield Solver(
            name=name,
            steps=steps,
            rate=len(trained.labels) / run.seconds,
            metrics={
                name: (value.value, value.low, value.high)
                for values in found
                for name, value in values.items()
                if value.value is not None
            },
        )


def _train(bench: BenchSettings, size: Drawing) -> _Trained:
    """Trains the demo's generator and oracle on more dogs; takes as many real dogs as are drawn."""
    training, oracle_steps = size.training
    source = PaperDogs(size=16, variety=0.5).load()
    images = size.images * len(source.classes)
    real = split(
        source,
        Exponential(factor=1, images=images),
        Splits(oracle=size.oracle, calibration=size.oracle, reference=images),
        bench.seed / "sampling" / "split",
    )
    bench.log(f"training the model: {training:,} steps")
    part = DDPM(
        channels=size.channels,
        patch=2,
        attention=False,
        lr=3e-3,
        steps=training,
        conditional=True,
        sample_batch=size.images,
    )
    seed, shape, classes = bench.seed / "sampling", real.train.shape, len(real.classes)
    model = part.fit(real.train, RunContext(seed / "fit", bench.device, shape, classes))
    context = RunContext(seed / "oracle", bench.device, shape, classes)
    oracle = CNN(width=16, steps=oracle_steps).fit(real.oracle, real.calibration, context)
    seen = oracle.predict(real.reference.pixels).features
    return _Trained(model, oracle, seen, real.reference.labels)


def _with(model: DiffusionModel, sampler: Sampler, steps: int) -> DiffusionModel:
    settings = model.settings.model_copy(update={"sampler": sampler, "sample_steps": steps})
    return replace(model, settings=settings)


def _drawn(model: DiffusionModel, labels: Tensor, bench: BenchSettings, pair: int) -> Tensor:
    context = RunContext(
        bench.seed / "sampling" / "draw" / pair, bench.device, model.padding.shape, model.any_class
    )
    return model.sample(labels, context).pixels


def _ancestral(
    model: DiffusionModel, alone: UNet2DModel, size: Drawing, bench: BenchSettings, pair: int
) -> Tensor:
    """Draws images of one class: diffusers' pipeline has no classes, so its network has one."""
    seed = int(bench.seed / "sampling" / "ancestral" / pair) % 2**32
    floats = references.sample_ancestral(alone, size.images, seed, size.steps)
    return to_uint8(model.padding.crop(floats))


def _flops(model: DiffusionModel) -> float:
    """Operations of one image and step."""
    x = torch.zeros(8, *model.padding.padded_shape, device=model.device.torch)
    t = torch.zeros(8, dtype=torch.int64, device=model.device.torch)
    with torch.no_grad():
        return count_flops(lambda: model.network(x, t, t)) / len(x)
