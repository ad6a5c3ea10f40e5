"""Fréchet distance at 2,048 features, ours against torchmetrics', in one run.

    python benchmarks/frechet.py

Both are given the same features and asked for the distance alone. "First use" is ours from nothing;
else the reference is fitted and factored already, as in a study, where every generation meets the
same reference: torchmetrics has no such path. Each pair must agree to 1e-6.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import FrechetDistance
from imgcollapse.metrics.frechet import Gaussian, distance

WIDTH = 2048


class Features(nn.Identity):
    """Tells torchmetrics that what it is given are features already."""

    num_features = WIDTH


def seconds(work: Callable[[], float]) -> tuple[float, float]:
    """How long, and the value."""
    begun = time.perf_counter()
    value = work()
    return time.perf_counter() - begun, value


def normal(name: str, n: int, scale: float) -> Tensor:
    """float64[n, WIDTH] with a spectrum that falls off, as that of Inception features does."""
    draw = Seed(("bench", name, n)).torch()
    spectrum = torch.arange(1, WIDTH + 1, dtype=torch.float64) ** -0.5
    return scale * spectrum * torch.randn(n, WIDTH, generator=draw, dtype=torch.float64)


def theirs(real: Tensor, generated: Tensor) -> float:
    """torchmetrics' distance."""
    metric = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return float(metric.compute())


def streamed(real: Tensor, generated: Tensor) -> float:
    """Ours from nothing, streamed."""
    metric = FrechetDistance()
    metric.interval = False
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric.compute().value or 0.0


def main() -> None:
    """Measure and print."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {WIDTH} features")
    for n in (3000, 1000, 70):
        real, generated = normal("real", n, 1.0), normal("generated", n, 1.1)
        reference = Gaussian.of(real)
        distance(
            reference, generated=Gaussian.of(generated)
        )  # the factor, and the libraries' own set-up
        warm, value = seconds(lambda g=generated, r=reference: distance(r, Gaussian.of(g)))
        cold, again = seconds(lambda g=generated, r=real: streamed(r, g))
        other, expected = seconds(lambda g=generated, r=real: theirs(r, g))
        assert abs(value / expected - 1) < 1e-6
        assert abs(again / expected - 1) < 1e-6
        print(
            f"n = {n}: torchmetrics {other:.2f} s, ours {warm:.4f} s ({other / warm:,.0f}x), "
            f"first use {cold:.4f} s ({other / cold:,.0f}x), difference {value / expected - 1:.0e}"
        )


if __name__ == "__main__":
    main()
