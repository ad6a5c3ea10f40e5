"""What all processes of a job do together: train a model, draw from it, look at images.

Each function is the leader's side, and the one below it with the same name is what the others do
meanwhile. In a job of one process they are what they call and nothing more.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from imgcollapse.core.device import Device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.generators.base import Generator, Model
from imgcollapse.io.checksums import sha256_of_tensors
from imgcollapse.metrics import Extractor
from imgcollapse.oracle import FrozenOracle, Oracle, Predictions
from imgcollapse.parallel import process_group
from imgcollapse.training.context import RunContext


def fit(
    generator: Generator,
    images: Images,
    context: RunContext,
    previous: Model | None = None,
) -> Model:
    """Train a model; where the generator divides, by all.

    Raises:
        UserError: as `generator.fit`, or the processes ended with different weights.
    """
    if not _divides(generator):
        return generator.fit(images, context, previous)
    images = Images(images.pixels, images.labels)  # read once, wherever they are
    before = previous.state() if previous else None
    with process_group.on_all_processes(_fit, generator, images, _shared(context), before):
        model = generator.fit(images, context, previous)
        _compare(model)
    return model


def _fit(
    generator: Generator,
    images: Images,
    context: RunContext,
    before: dict[str, Tensor] | None,
) -> None:
    context = _own_device(context)
    previous = generator.restore(before, context) if before else None
    _compare(generator.fit(images, context, previous))


def sample(
    generator: Generator,
    model: Model,
    labels: Tensor,
    context: RunContext,
) -> Images:
    """Draw one image for each label; where the generator divides, a batch here and a batch there.

    Args:
        generator: whose model it is.
        model: draws.
        labels: int16[N].
        context: of the sampling.
    """
    if not _divides(generator):
        return model.sample(labels, context)
    with process_group.on_all_processes(
        _sample, generator, model.state(), labels, _shared(context)
    ):
        return model.sample(labels, context)


def _sample(
    generator: Generator,
    state: dict[str, Tensor],
    labels: Tensor,
    context: RunContext,
) -> None:
    context = _own_device(context)
    generator.restore(state, context).sample(labels, context)


def classify(kind: Oracle, oracle: FrozenOracle, pixels: Tensor, device: Device) -> Predictions:
    """What the oracle says of uint8[N, C, H, W] images; a batch is named here, and one there.

    Args:
        kind: what the oracle was made by.
        oracle: names them.
        pixels: the images.
        device: where the others look.
    """
    if process_group.world_group().size == 1:
        return oracle.predict(pixels)
    _, channels, height, width = pixels.shape
    shape, classes = (channels, height, width), oracle.head.out_features
    context = RunContext(Seed(("classify",)), device, shape, classes)
    with process_group.on_all_processes(_answer, kind, _shared(context), oracle.state(), pixels):
        return oracle.predict(pixels)


def _answer(
    kind: Oracle,
    context: RunContext,
    state: dict[str, Tensor],
    pixels: Tensor,
) -> None:
    kind.build(_own_device(context)).load(state).predict(pixels)


def features(extractor: Extractor, pixels: Tensor, seen: Tensor, device: Device) -> Tensor:
    """What the metrics see of uint8[N, C, H, W] images, float32[N, D]; divided as `answer`.

    Args:
        extractor: sees them.
        pixels: the images.
        seen: float32[N, E], the features that the oracle sees.
        device: where.
    """
    if not _divides(extractor):
        return extractor.features(pixels, seen, device)
    settings = extractor.model_dump_json()  # not the network that it may have built
    with process_group.on_all_processes(_features, type(extractor), settings, pixels, seen, device):
        return extractor.features(pixels, seen, device)


def _features(
    kind: type[Extractor], settings: str, pixels: Tensor, seen: Tensor, device: Device
) -> None:
    _extractor(kind, settings).features(pixels, seen, _own(device))


@cache
def _extractor(kind: type[Extractor], settings: str) -> Extractor:
    """One for the same settings, which has its network the second time."""
    return kind.model_validate_json(settings)


def _divides(part: Generator | Extractor) -> bool:
    return part.supports_data_parallel and process_group.world_group().size > 1


def _shared(context: RunContext) -> RunContext:
    """The context for the other processes, which neither report progress nor save checkpoints."""
    return RunContext(context.seed, context.device, context.shape, context.classes)


def _own_device(context: RunContext) -> RunContext:
    return replace(context, device=_own(context.device))


def _own(device: Device) -> Device:
    """The same kind of device, but this process's own."""
    return Device(torch.empty(0, device=device.torch.type).device, device.dtype)


def _compare(model: Model) -> None:
    """Equal sums and equal steps make equal weights, unless the machines differ."""
    if len(set(process_group.current_group().all_gather(sha256_of_tensors(model.state())))) > 1:
        raise UserError(
            "processes: they ended with different weights, for they do not calculate alike; use "
            "machines with equal processors, GPUs and software"
        )
