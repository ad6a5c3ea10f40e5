"""Times measuring against torchmetrics' distance, and whole generations of the demo's study."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imgcollapse import census, metrics
from imgcollapse.config.study import Study
from imgcollapse.core.images import UNKNOWN, Images
from imgcollapse.core.progress import NullProgress, StudyLength
from imgcollapse.data import split
from imgcollapse.experiment.runner import run
from imgcollapse.experiment.setup import prepare_oracle
from imgcollapse.oracle import CNN, FrozenOracle
from imgcollapse.runs.run_dir import Run
from imgcollapse.tools.bench.harness import (
    BenchSettings,
    Judge,
    compare_in_turns,
    dogs,
    measure,
    peak_memory,
    reset_peak_memory,
)
from imgcollapse.tools.bench.references import TorchmetricsDistance
from imgcollapse.tools.bench.result import Check, Comparison, Generation
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
        metric.configured(settings)
        for metric in metrics.study_metrics(settings, "features")
        if any(info.compared for info in metric.infos)
    ]


def classify(
    oracle: FrozenOracle, samples: Images, classes: Sequence[str], shares: Sequence[float]
) -> Tensor:
    """Classifies samples and takes their census with intervals; returns their features."""
    held_out = oracle.held_out
    predictions = oracle.predict(samples.pixels)
    census.count(
        1,
        predictions.counted,
        predictions.probabilities,
        samples.labels,
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
        features = classify(oracle, samples, names, shares)
        return metric.between(expected, features)[DISTANCE.name].value or 0.0

    def theirs(_pair: int) -> float:
        return reference(samples.pixels.to(bench.device.torch))

    _ = ours(0), theirs(0)  # the first call sets the libraries up
    yield compare_in_turns(
        bench,
        "measuring",
        f"classes, census with intervals and {DISTANCE.label} of {n:,} images of {SIDE} px "
        f"against {DISTANCE.label} alone",
        ours,
        theirs,
        n,
        ("imgcollapse", f"torchmetrics' {DISTANCE.label}, same network"),
        Judge(DISTANCE.label, ROUNDING, lambda distances: distances),
        chosen="float32",
    )


def _in_full_precision(oracle: FrozenOracle) -> torch.nn.Module:
    """The oracle's feature extractor in float32, as this program uses it."""

    class Body(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            with oracle.device.full_precision():
                return oracle.body(images).float()

    return Body()


STAGES = "fit", "sample", "measure"
MEASURING, OVERHEAD = 0.10, 0.03
"""Largest shares of a generation's time: of measuring 10,000 samples; of all but the stages."""

DEMO: dict[str, Any] = {
    "samples": 1000,
    "data": {"kind": "paper_dogs", "size": 16, "variety": 0.5},
    "longtail": {"kind": "exponential", "factor": 100, "images": 400},
    "splits": {"oracle": 400, "calibration": 500, "reference": 1000},
    "generator": {
        "kind": "ddpm",
        "channels": [32, 64],
        "patch": 2,
        "attention": False,
        "steps": 2000,
        "warm_start": True,
        "warm_steps": 500,
        "batch": 64,
        "lr": 3.0e-3,
        "sample_steps": 20,
    },
    "oracle": {"kind": "cnn", "width": 16, "steps": 300, "reject": 0.003},
}
"""The study of configs/demo.yaml."""

SMALLER = {
    "samples": 100,
    "longtail": {"kind": "exponential", "factor": 8, "images": 100},
    "splits": {"oracle": 30, "calibration": 30, "reference": 100},
    "generator": DEMO["generator"] | {"channels": [8], "steps": 6, "warm_steps": 3, "batch": 8},
    "oracle": {"kind": "cnn", "width": 8, "steps": 10},
}

SAMPLES = {"smoke": 200, "small": 10_000, "real": 10_000, "gpu": 10_000}


def measure_stages(bench: BenchSettings) -> Iterator[Generation | Check]:
    """Runs the study in a temporary folder, then measures 10,000 samples of its last model.

    Generations after the first start from its weights and are shorter; shares are of the shortest.
    """
    more: dict[str, Any] = {"device": str(bench.device.torch), "precision": bench.precision}
    more["generations"] = 4 if bench.size == "real" else 8 if bench.size == "gpu" else 2
    study = Study.model_validate(DEMO | (SMALLER if bench.size == "smoke" else {}) | more)
    with tempfile.TemporaryDirectory(prefix="imgcollapse-bench-") as folder:
        clock = _Clock(bench.device.torch)
        begun = run(study, Path(folder) / "run", reporter=clock)
        clock.stop()
        found = list(_timed(begun, clock))
        yield from found
        warm = min(found[2:], key=lambda generation: generation.wall)
        yield Check(
            part="generations",
            what="time of a generation outside training, sampling and measuring",
            value=warm.seconds["rest"] / warm.wall,
            limit=bench.promised(OVERHEAD),
            detail=f"{warm.seconds['rest']:.2f} of {warm.wall:.1f} s, generation {warm.number}",
        )
        yield _time_measuring(bench, study, begun, warm.wall)


def _timed(begun: Run, clock: _Clock) -> Iterator[Generation]:
    lineage = begun.lineages[0]
    # Before generation 1 lies the set-up: images, oracle, floors.
    starts = [clock.begun, *clock.starts[-(lineage.generations - 1) :], clock.ended]
    for g in range(lineage.generations):
        wall = starts[g + 1] - starts[g]
        laps = lineage.manifest(g).get("seconds", {})
        seconds = {stage: float(laps.get(stage, 0)) for stage in STAGES} if g else {}
        seconds["rest"] = wall - sum(seconds.values())
        yield Generation(number=g, wall=wall, seconds=seconds, memory=clock.peaks[g])


def _time_measuring(bench: BenchSettings, study: Study, finished: Run, wall: float) -> Check:
    """Times the census and the metrics of as many samples as real images."""
    n, lineage, where = SAMPLES[bench.size], finished.lineages[0], bench.device.torch
    more = study.splits.model_copy(update={"reference": n})
    real = split(study.data.load(), study.longtail, more, bench.seed / "generations")
    oracle = prepare_oracle(study, real, finished, bench.device, NullProgress())
    seed = bench.seed / "generations" / "draw"
    context = RunContext(seed, bench.device, real.train.shape, len(real.classes))
    model = study.generator.restore(lineage.model(study.generations), context)
    samples = model.sample(torch.full((n,), UNKNOWN, dtype=torch.int16), context)
    reference, shares = oracle.predict(real.reference.pixels).features, real.shares.tolist()

    taken = measure(partial(classify, oracle, samples, real.classes, shares), where)
    seconds = {"census": taken.seconds}
    for metric in feature_metrics():
        metric.between(reference, reference)  # the real side is measured once for a study
        name = " and ".join(dict.fromkeys(info.label for info in metric.infos if info.compared))
        work = partial(metric.between, reference, taken.outcome)
        seconds[name] = measure(work, where).seconds
    return Check(
        part="generations",
        what=f"{', '.join(seconds)} of {n:,} samples, in generations",
        value=sum(seconds.values()) / wall,
        limit=bench.promised(MEASURING),
        detail=", ".join(f"{name} {each:.2f} s" for name, each in seconds.items()),
    )


class _Clock(NullProgress):
    """Records the start of each generation, and the peak of memory in it."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.starts, self.peaks = device, [], []
        reset_peak_memory(device)
        self.begun = self.ended = time.perf_counter()

    def start_generation(self, lineage: int, generation: int, study: StudyLength) -> None:
        if generation:
            self.starts.append(time.perf_counter())
            self._lap()

    def stop(self) -> None:
        """Record the end of the study."""
        self.ended = time.perf_counter()
        self._lap()

    def _lap(self) -> None:
        self.peaks.append(peak_memory(self.device))
        reset_peak_memory(self.device)
