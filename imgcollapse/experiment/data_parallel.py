"""Work that all processes of a job do together: training, sampling, classifying, extracting.

Each public function is the leader's side; the private one below it is what the other processes do
meanwhile. In a job of one process they only call what they wrap.
"""

from __future__ import annotations

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

Shared = tuple[Seed, Device, tuple[int, int, int], int]
"""Of a context what the other processes need: they report no progress and save no checkpoints."""
State = dict[str, Tensor]


def fit(
    generator: Generator, images: Images, context: RunContext, previous: Model | None = None
) -> Model:
    """Trains a model, on all processes if the generator supports it, to the same weights."""
    if not _divides(generator):
        return generator.checked_model("fit", generator.fit(images, context, previous))
    images = Images(images.pixels, images.labels)  # read once, wherever they are
    state = previous.state() if previous else None
    with process_group.on_all_processes(_fit, generator, images, _shared(context), state):
        model = generator.checked_model("fit", generator.fit(images, context, previous))
        _require_equal_weights(model)
    return model


def _fit(generator: Generator, images: Images, shared: Shared, state: State | None) -> None:
    context = _context(shared)
    previous = generator.restore(state, context) if state else None
    _require_equal_weights(generator.fit(images, context, previous))


def sample(generator: Generator, model: Model, labels: Tensor, context: RunContext) -> Images:
    """Draws one image for each int16[N] label, batches in turn if the generator supports it."""
    if not _divides(generator):
        return generator.checked_sample(model, labels, context)
    work = _sample, generator, model.state(), labels, _shared(context)
    with process_group.on_all_processes(*work):
        return generator.checked_sample(model, labels, context)


def _sample(generator: Generator, state: State, labels: Tensor, shared: Shared) -> None:
    context = _context(shared)
    generator.restore(state, context).sample(labels, context)


def classify(settings: Oracle, oracle: FrozenOracle, pixels: Tensor, device: Device) -> Predictions:
    """Returns the oracle's predictions for uint8[N, C, H, W] images, batches in turn.

    The other processes build it from its `settings`, each on its own device of that kind.
    """
    if process_group.world_group().size == 1:
        return oracle.predict(pixels)
    _, channels, height, width = pixels.shape
    shared = Seed(()), device, (channels, height, width), oracle.head.out_features
    with process_group.on_all_processes(_classify, settings, shared, oracle.state(), pixels):
        return oracle.predict(pixels)


def _classify(settings: Oracle, shared: Shared, state: State, pixels: Tensor) -> None:
    settings.build(_context(shared)).load(state).predict(pixels)


def features(extractor: Extractor, pixels: Tensor, seen: Tensor, device: Device) -> Tensor:
    """Returns float32[N, D] features of images; the oracle has `seen` float32[N, E]."""
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
    """The same extractor for the same settings: the second time it has its network."""
    return kind.model_validate_json(settings)


def _divides(component: Generator | Extractor) -> bool:
    return component.supports_data_parallel and process_group.world_group().size > 1


def _shared(context: RunContext) -> Shared:
    return context.seed, context.device, context.shape, context.classes


def _context(shared: Shared) -> RunContext:
    seed, device, shape, classes = shared
    return RunContext(seed, _own(device), shape, classes)


def _own(device: Device) -> Device:
    """The same kind of device, but this process's own."""
    return Device(torch.empty(0, device=device.torch.type).device, device.dtype)


def _require_equal_weights(model: Model) -> None:
    """Equal sums and equal steps give equal weights, unless the machines differ."""
    if len(set(process_group.current_group().all_gather(sha256_of_tensors(model.state())))) > 1:
        raise UserError(
            "processes: they ended with different weights, because their arithmetic differs; use "
            "machines with equal processors, GPUs and software"
        )
