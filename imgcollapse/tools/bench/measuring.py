"""Compares classifying and measuring samples with torchmetrics' distance on the same features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from imgcollapse import census, metrics
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

DISTANCE = metrics.FrechetDistance.infos[0]
"""The metric that torchmetrics computes too."""


def distance(real: Tensor, generated: Tensor) -> float:
    """Returns this program's value of `DISTANCE` between two sets of features, float[N, D]."""
    return metrics.FrechetDistance().between(real, generated)[DISTANCE.name].value or 0.0


def feature_metrics() -> list[metrics.Metric]:
    """The metrics of features that the comparison of runs shows."""
    settings = metrics.MetricSettings()
    return [
        metric.configured(settings, None)
        for metric in metrics.study_metrics(settings, "features")
        if any(info.compared for info in metric.infos)
    ]


def classify(
    oracle: FrozenOracle,
    pixels: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    shares: Sequence[float],
) -> Tensor:
    """Classifies samples and takes their census with intervals; returns their features."""
    held_out = oracle.held_out
    predictions = oracle.predict(pixels)
    census.count(
        1,
        predictions.counted,
        predictions.probabilities,
        labels,
        classes,
        census.Expectation(shares, shares, shares),
        census.HeldOut(oracle.labels, held_out.counted, held_out.probabilities),
    )
    return predictions.features


def compare(bench: BenchSettings) -> Iterator[Comparison]:
    """Compares census and distance of this program, with their intervals, with distance alone."""
    n = IMAGES[bench.size]
    training, held_out = dogs(800, SIDE), dogs(400, SIDE, held_out=True)
    real, samples = dogs(n, SIDE), dogs(n, SIDE, held_out=True)
    oracle = CNN(width=16, steps=20 if bench.size == "smoke" else 200).fit(
        training,
        held_out,
        RunContext(bench.seed / "measuring", bench.device, training.shape, CLASSES),
    )
    # Once for a study, on both sides.
    metric, expected = metrics.FrechetDistance(), oracle.predict(real.pixels).features
    metric.between(expected, expected)
    network, width = _in_full_precision(oracle), oracle.head.in_features
    reference = TorchmetricsDistance(network, width, real.pixels.to(bench.device.torch))
    names, shares = [str(label) for label in range(CLASSES)], [1 / CLASSES] * CLASSES

    def ours(_pair: int) -> float:
        features = classify(oracle, samples.pixels, samples.labels, names, shares)
        return metric.between(expected, features)[DISTANCE.name].value or 0.0

    def theirs(_pair: int) -> float:
        return reference(samples.pixels.to(bench.device.torch))

    _ = ours(0), theirs(0)  # the first call sets the libraries up
    mine, others = measure_in_turns(ours, theirs, bench.repeats, bench.device.torch)
    yield Comparison(
        part="measuring",
        title=f"classes, census with intervals and {DISTANCE.label} of {n:,} images of {SIDE} px "
        f"against {DISTANCE.label} alone",
        ours=side("imgcollapse", mine, n),
        reference=side(f"torchmetrics' {DISTANCE.label}, same network", others, n),
        quality=Quality(
            what=DISTANCE.label,
            ours=tuple(run.outcome for run in mine),
            reference=tuple(run.outcome for run in others),
            bound=ROUNDING,
        ),
        chosen="float32",
    )


def _in_full_precision(oracle: FrozenOracle) -> torch.nn.Module:
    """The oracle's feature extractor in float32, as this program uses it."""

    class Body(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            with oracle.device.full_precision():
                return oracle.body(images).float()

    return Body()
