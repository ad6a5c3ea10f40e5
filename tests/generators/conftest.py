from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from imgcollapse.core.device import Device
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed

COLOURS = (50, 205)


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small lose by threads, badly so where other programs run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cpu() -> Device:
    return Device(torch.device("cpu"), torch.float32)


@pytest.fixture
def seed() -> Seed:
    return Seed(("test",))


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int, float | None]] = []

    def __call__(
        self, stage: str, step: int, steps: int, images: int, loss: float | None = None
    ) -> None:
        self.seen.append((stage, step, steps, images, loss))


@pytest.fixture
def reporter() -> Watcher:
    return Watcher()


def two_colours(n: int, shape: tuple[int, int, int] = (1, 8, 8)) -> Images:
    """Images of one flat colour each: class 0 dark, class 1 light."""
    labels = torch.arange(n, dtype=torch.int16) % 2
    pixels = torch.tensor(COLOURS, dtype=torch.uint8)[labels.long()].view(-1, 1, 1, 1)
    return Images(pixels.expand(-1, *shape).contiguous(), labels)


def noise_images(n: int, shape: tuple[int, int, int], seed: Seed) -> Images:
    pixels = torch.randint(0, 256, (n, *shape), generator=seed.torch(), dtype=torch.uint8)
    return Images(pixels, torch.arange(n, dtype=torch.int16) % 2)
