"""How fast each stage is here: images a second, and bfloat16 against float32 in one run.

    make bench

Every pair is measured alternately, three times each; the table shows medians and their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from imgcollapse.core import device
from imgcollapse.core.images import Images
from imgcollapse.core.seeds import Seed
from imgcollapse.generators import DDPM, VAE, Generator
from imgcollapse.metrics import RealSide
from imgcollapse.oracle import CNN
from imgcollapse.progress import Silent

REPEATS = 3
SEED, SILENT = Seed(("bench",)), Silent()

GENERATORS: dict[str, tuple[Generator, tuple[int, int, int], int]] = {
    # name: generator, image shape, images that its training touches
    "vae, 28 px gray": (VAE(steps=40, batch=256), (1, 28, 28), 40 * 256),
    "ddpm, 8 px gray": (DDPM(steps=60, attention=False), (1, 8, 8), 60 * 64),
    "ddpm, 16 px RGB, patch 2": (DDPM(steps=60, attention=False, patch=2), (3, 16, 16), 60 * 64),
}


def images(n: int, shape: tuple[int, int, int]) -> Images:
    """n images of noise."""
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=SEED.torch())
    return Images(pixels, (torch.arange(n) % 10).short())


def rate(work: Callable[[], object], count: int) -> float:
    """Images a second."""
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - begun)


def pair(work: Callable[[device.Device], object], count: int) -> tuple[float, float]:
    """Median rates in bfloat16 and float32, measured alternately after one of each unmeasured."""
    devices = [device.choose("auto", precision) for precision in ("bfloat16", "float32")]
    for each in devices:
        work(each)
    rates = [[rate(lambda d=d: work(d), count) for d in devices] for _ in range(REPEATS)]
    low, full = (statistics.median(column) for column in zip(*rates, strict=True))
    return low, full


def main() -> None:
    """Measure and print."""
    where = device.choose()
    table = Table("stage", "bfloat16", "float32", "ratio", title="images a second")
    for name, (generator, shape, count) in GENERATORS.items():
        data = images(1000, shape)
        models = {}

        def fit(on: device.Device, generator: Generator = generator, data: Images = data) -> None:
            models[on.dtype] = generator.fit(data, 10, SEED, on, SILENT)  # noqa: B023

        def sample(on: device.Device) -> None:
            models[on.dtype].sample(torch.full((500,), -1).short(), SEED, SILENT)  # noqa: B023

        for stage, work, n in (("train", fit, count), ("sample", sample, 500)):
            low, full = pair(work, n)
            table.add_row(f"{name}: {stage}", f"{low:,.0f}", f"{full:,.0f}", f"{low / full:.2f}")
    data = images(1000, (1, 28, 28))
    oracle = CNN(steps=1).fit(data, data, 10, SEED, where, SILENT)
    seen = oracle.answer(data.pixels)
    side = RealSide(seen.features, data.labels, seen.features, data.labels, SEED)
    names = "0123456789"
    list(side.rows(0, seen.features, None, data.labels, names))  # floors: once for a study
    named = rate(lambda: oracle.answer(data.pixels), len(data))
    table.add_row("oracle, 28 px gray", "", f"{named:,.0f}", "")
    measured = rate(lambda: list(side.rows(1, seen.features, None, data.labels, names)), 1000)
    table.add_row("metrics, all and per class", "", f"{measured:,.0f}", "")
    console = Console()
    console.print(f"{where.torch}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    console.print(table)


if __name__ == "__main__":
    main()
