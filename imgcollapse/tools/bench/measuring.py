"""Compares classifying and measuring samples with torchmetrics' distance on the same features."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imgcollapse import census, metrics
from imgcollapse.metrics.frechet import Gaussian
from imgcollapse.oracle import CNN, FrozenOracle
from imgcollapse.tools.bench.references import TorchmetricsDistance
from imgcollapse.tools.bench.result import Comparison, Quality, side
from imgcollapse.tools.bench.settings import BenchSettings, dogs
from imgcollapse.tools.bench.timing import measure_in_turns
from imgcollapse.training.context import RunContext

IMAGES = {"smoke": 100, "small": 2000, "real": 10_000, "gpu": 50_000}
SIDE, CLASSES = 16, 8
ROUNDING = 1e-4
"""torchmetrics takes covariances from sums of squares and returns float32."""


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Census and FID of this program, with their intervals, against FID alone."""
    n = IMAGES[bench.size]
    training, held_out = dogs(800, SIDE), dogs(400, SIDE, held_out=True)
    real, samples = dogs(n, SIDE), dogs(n, SIDE, held_out=True)
    oracle = CNN(width=16, steps=20 if bench.size == "smoke" else 200).fit(
        training,
        held_out,
        RunContext(bench.seed / "measuring", bench.device, training.shape, CLASSES),
    )
    fitted = Gaussian.of(oracle.predict(real.pixels).features)  # once for a study, on both sides
    record = census.HeldOut(oracle.labels, oracle.held_out.counted, oracle.held_out.probabilities)
    width = oracle.head.in_features
    network = _as_torchmetrics_asks(oracle)
    reference = TorchmetricsDistance(network, width, real.pixels.to(bench.device.torch))

    def ours(_pair: int) -> float | None:
        answers = oracle.predict(samples.pixels)
        census.count(
            1,
            answers.counted,
            answers.probabilities,
            samples.labels,
            [str(label) for label in range(CLASSES)],
            census.Expectation(*([[1 / CLASSES] * CLASSES] * 3)),
            record,
        )
        return metrics.fid(fitted, answers.features).value

    def theirs(_pair: int) -> float:
        return reference(samples.pixels.to(bench.device.torch))

    ours(0), theirs(0)  # the first call sets the libraries up
    mine, others = measure_in_turns(ours, theirs, bench.repeats, bench.device.torch)
    yield Comparison(
        part="measuring",
        title=f"naming, census with intervals and FID of {n:,} images of {SIDE} px "
        "against FID alone",
        ours=side("imgcollapse", mine, n),
        reference=side("torchmetrics' FID, same network", others, n),
        quality=Quality(
            what="FID",
            ours=tuple(run.outcome or 0.0 for run in mine),
            reference=tuple(run.outcome for run in others),
            bound=ROUNDING,
        ),
        chosen="float32",
    )


def _as_torchmetrics_asks(oracle: FrozenOracle) -> torch.nn.Module:
    class Body(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            with oracle.device.full_precision():  # as it is asked on the other side
                return oracle.body(images).float()

    return Body()
