"""What all processes of a job do together: train a model, draw from it, look at images.

Each function is the leader's side, and the one below it with the same name is what the others do
meanwhile. In a job of one process they are what they call and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from imgcollapse.core import world
from imgcollapse.core.checkpoint import digest
from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.protocols import Generator, Model, Progress
from imgcollapse.core.scratch import Scratch
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import Extractor
from imgcollapse.oracle import Answers, FrozenOracle, Oracle

Shape = tuple[int, int, int]
State = Mapping[str, Tensor]


def fit(
    generator: Generator,
    images: Images,
    classes: int,
    seed: Seed,
    device: Device,
    progress: Progress,
    previous: Model | None = None,
    scratch: Scratch | None = None,
) -> Model:
    """Train a model; where the generator divides, by all.

    Raises:
        UserError: as `generator.fit`, or the processes ended with different weights.
    """

    def alone() -> Model:
        return generator.fit(images, classes, seed, device, progress, previous, scratch)

    if not _divides(generator):
        return alone()
    before = previous.state() if previous else None
    with world.joined(_fit, generator, images, classes, seed, device, before):
        model = alone()
        _compare(model)
    return model


def _fit(
    generator: Generator,
    images: Images,
    classes: int,
    seed: Seed,
    device: Device,
    before: dict[str, Tensor] | None,
) -> None:
    device = _own(device)
    previous = generator.restore(before, images.shape, classes, device) if before else None
    _compare(generator.fit(images, classes, seed, device, _nobody, previous))


def sample(
    generator: Generator,
    model: Model,
    shape: Shape,
    classes: int,
    labels: Tensor,
    seed: Seed,
    device: Device,
    progress: Progress,
    scratch: Scratch | None = None,
) -> Images:
    """Draw one image for each label; where the generator divides, a batch here and a batch there.

    Args:
        generator: whose model it is.
        model: draws.
        shape: channels, height, width.
        classes: that it may be asked for.
        labels: int16[N].
        seed: names the draws.
        device: where.
        progress: is told how far it is.
        scratch: where those drawn so far are kept.
    """
    if not _divides(generator):
        return model.sample(labels, seed, progress, scratch)
    with world.joined(_sample, generator, model.state(), shape, classes, labels, seed, device):
        return model.sample(labels, seed, progress, scratch)


def _sample(
    generator: Generator,
    state: dict[str, Tensor],
    shape: Shape,
    classes: int,
    labels: Tensor,
    seed: Seed,
    device: Device,
) -> None:
    generator.restore(state, shape, classes, _own(device)).sample(labels, seed, _nobody)


def look(
    oracle: FrozenOracle, kind: Oracle, extractor: Extractor, pixels: Tensor, device: Device
) -> tuple[Answers, Tensor]:
    """What the oracle says of uint8[N, C, H, W] images, and float32[N, D], their features.

    Args:
        oracle: names them.
        kind: what it was made by.
        extractor: sees them for the metrics.
        pixels: the images.
        device: where the extractor looks.
    """
    if world.whole().size == 1:
        return _look(oracle, extractor, pixels, device)
    shape, classes = tuple(pixels.shape[1:]), oracle.head.out_features
    made = kind, shape, classes, oracle.state()
    with world.joined(_look_too, *made, extractor, pixels, device):
        return _look(oracle, extractor, pixels, device)


def _look_too(
    kind: Oracle,
    shape: Shape,
    classes: int,
    state: dict[str, Tensor],
    extractor: Extractor,
    pixels: Tensor,
    device: Device,
) -> None:
    device = _own(device)
    _look(kind.build(shape, classes, device).load(state), extractor, pixels, device)


def _look(
    oracle: FrozenOracle, extractor: Extractor, pixels: Tensor, device: Device
) -> tuple[Answers, Tensor]:
    answers = oracle.answer(pixels)
    return answers, extractor.features(pixels, answers.features, device)


def _divides(generator: Generator) -> bool:
    return generator.divides and world.whole().size > 1


def _own(device: Device) -> Device:
    """The same kind of device, but this process's own."""
    return Device(torch.empty(0, device=device.torch.type).device, device.dtype)


def _compare(model: Model) -> None:
    """Equal sums and equal steps make equal weights, unless the machines differ."""
    if len(set(world.here().gather(digest(model.state())))) > 1:
        raise UserError(
            "processes: they ended with different weights, for they do not calculate alike; use "
            "machines with equal processors, GPUs and software"
        )


def _nobody(stage: str, step: int, steps: int, images: int, loss: float | None = None) -> None:
    """Is told how far the work is, and does not pass it on."""
