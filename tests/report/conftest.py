from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from imgcollapse import census
from imgcollapse.core.images import Images, unlabeled
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import RealReference
from imgcollapse.report import write_report
from imgcollapse.runs.run_dir import Run

Make = Callable[..., Run]

SURE = 0.999
"""Probability that the oracle of these runs gives the class it names; it is never wrong."""


def images(counts: Sequence[int], size: int = 8, channels: int = 3) -> tuple[Images, Tensor]:
    """Noise images of each class in turn; the last number is how many are unrecognized."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels[labels == len(counts) - 1] = -1
    draw = Seed(("images", *counts, size)).torch()
    pixels = torch.randint(256, (len(labels), channels, size, size), generator=draw)
    return Images(pixels.to(torch.uint8), labels.to(torch.int16)), labels.to(torch.int16)


def probabilities(counted: Tensor, classes: int) -> Tensor:
    """int16[N] => float32[N, K], almost all on the class that is named."""
    named = torch.nn.functional.one_hot(counted.clamp(min=0).long(), classes).float()
    return named if classes == 1 else named * SURE + (1 - named) * (1 - SURE) / (classes - 1)


def held_out(classes: int) -> census.HeldOut:
    """An oracle's record without a mistake."""
    labels = torch.arange(classes).repeat_interleave(500 if classes < 20 else 20).to(torch.int16)
    return census.HeldOut(labels, labels, probabilities(labels, classes))


def write_run(
    folder: Path,
    *lineages: Sequence[Sequence[int]],
    classes: Sequence[str] | None = None,
    name: str = "run",
    accuracy: float = 0.99,
    size: int = 8,
    channels: int = 3,
    measured: bool = True,
    regime: str = "replace",
) -> Run:
    """Write a run folder through the program's own `Run`, with the counts that are asked for."""
    counts = lineages[0][0][:-1]
    classes = classes or [f"class {k}" for k in range(len(counts))]
    shares = [count / sum(counts) for count in counts]
    kinds = {
        "data": {"kind": "digits"},
        "longtail": {"kind": "exponential", "factor": 10},
        "generator": {"kind": "resample"},
        "regime": {"kind": regime},
    }
    longest = max(len(lineage) for lineage in lineages)
    study = {"seed": 0, "lineages": len(lineages), "generations": max(longest - 1, 1), **kinds}
    study["samples"] = sum(lineages[0][0])
    record = {
        "study": study,
        "classes": list(classes),
        "shares": shares,
        "shape": [channels, size, size],
        "data": {"sha256": "0" * 64, "remarks": []},
        "oracle": {
            "accuracy": accuracy,
            "held_out": 10 * len(counts),
            "recognised": 0.975,
            "confusion": (torch.eye(len(counts)) * 9 + 1).long().tolist(),
        },
        "made_with": {"torch": torch.__version__},
        "started": "2026-01-01T00:00:00+0000",
    }
    splits = {"reserve_labels": torch.empty(0, dtype=torch.int16)}
    run = Run.begin(folder / name, record, {"oracle.safetensors": {}, "splits.safetensors": splits})
    real, record_of_oracle = RealReference(*_real(), *_real(), Seed(("floor",))), None
    for lineage, generations in zip(run.lineages, lineages, strict=True):
        for g, numbers in enumerate(generations):
            samples, counted = images(numbers, size, channels)
            # Only generation 0 has labels of its own, as with an unconditional model.
            samples = samples if g == 0 else unlabeled(samples.pixels)
            features = samples.pixels.float().mean((2, 3))
            record_of_oracle = record_of_oracle or held_out(len(classes))
            findings = {
                "census": census.count(
                    g,
                    counted,
                    probabilities(counted, len(classes)),
                    samples.labels,
                    classes,
                    census.Expectation(
                        shares, [s / 2 for s in shares], [min(1, 2 * s) for s in shares]
                    ),
                    record_of_oracle,
                ),
                "metrics": (
                    list(real.rows(g, features, None, counted, classes)) if measured else []
                ),
            }
            lineage.commit(g, samples, counted, findings)
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    return partial(write_run, tmp_path)


def drifting(
    shares: Sequence[float], n: int, generations: int, seed: int, s: Sequence[float] | None = None
) -> list[list[int]]:
    """Counts of a lineage under replacement, generation 0 first; s shifts each class's log odds.

    Rows as `make_run` takes them: nothing is unrecognized.
    """
    rng = np.random.default_rng(seed)
    counts = [np.round(np.array(shares) * n).astype(int)]
    for _ in range(generations):
        weights = counts[-1] * np.exp(s or np.zeros(len(shares)))
        counts.append(rng.multinomial(n, weights / weights.sum()))
    return [[*row.tolist(), 0] for row in counts]


def _real() -> tuple[Tensor, Tensor]:
    real, labels = images([40, 20, 0])
    return real.pixels.float().mean((2, 3)), labels


@pytest.fixture(scope="session")
def vanishing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three classes; the rarest is last seen in generation 1, one sample is unrecognized in 2.

    To be read only: all tests share it.
    """
    return write_run(
        tmp_path_factory.mktemp("vanishing"),
        [[600, 300, 100, 0], [640, 310, 50, 0], [700, 299, 0, 1]],
        classes=["dog", "cat", "<b>fox</b> & $x"],
    )


@pytest.fixture(scope="session")
def report(vanishing: Run) -> Path:
    """The page over `vanishing`."""
    return write_report([vanishing.path])
