from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from imgcollapse import census
from imgcollapse.core.images import Images, unlabelled
from imgcollapse.core.seeds import Seed
from imgcollapse.metrics import RealSide
from imgcollapse.run_folder import Run

Make = Callable[..., Run]


def images(counts: Sequence[int], size: int = 8, channels: int = 3) -> tuple[Images, Tensor]:
    """Noise images of each class in turn; the last number is how many are unrecognised."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels[labels == len(counts) - 1] = -1
    draw = Seed(("images", *counts, size)).torch()
    pixels = torch.randint(256, (len(labels), channels, size, size), generator=draw)
    return Images(pixels.to(torch.uint8), labels.to(torch.int16)), labels.to(torch.int16)


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Writes a run folder through the program's own `Run`, with the counts that are asked for."""

    def make(
        *lineages: Sequence[Sequence[int]],
        classes: Sequence[str] | None = None,
        name: str = "run",
        accuracy: float = 0.99,
        size: int = 8,
        channels: int = 3,
        measured: bool = True,
    ) -> Run:
        counts = lineages[0][0][:-1]
        classes = classes or [f"class {k}" for k in range(len(counts))]
        shares = [count / sum(counts) for count in counts]
        kinds = {
            "data": {"kind": "digits"},
            "longtail": {"kind": "exponential", "factor": 10},
            "generator": {"kind": "resample"},
            "regime": {"kind": "replace"},
        }
        longest = max(len(lineage) for lineage in lineages)
        study = {"seed": 0, "lineages": len(lineages), "generations": longest - 1, **kinds}
        record = {
            "study": study,
            "classes": list(classes),
            "shares": shares,
            "shape": [channels, size, size],
            "data": {"sha256": "0" * 64, "remarks": []},
            "oracle": {
                "accuracy": accuracy,
                "held_out": 10 * len(counts),
                "confidence": 0.9,
                "confusion": (torch.eye(len(counts)) * 9 + 1).long().tolist(),
            },
            "made_with": {"torch": torch.__version__},
            "started": "2026-01-01T00:00:00+0000",
        }
        run = Run.begin(tmp_path / name, record, {}, {})
        real = RealSide(*_real(), *_real(), Seed(("floor",)))
        for lineage, generations in zip(run.lineages, lineages, strict=True):
            for g, numbers in enumerate(generations):
                samples, counted = images(numbers, size, channels)
                # Only generation 0 has labels of its own, as with an unconditional model.
                samples = samples if g == 0 else unlabelled(samples.pixels)
                features = samples.pixels.float().mean((2, 3))
                distances = real.distances(g, features, counted, classes) if measured else ()
                findings = {
                    "census": census.count(g, counted, samples.labels, classes, shares),
                    "metrics": list(distances),
                }
                lineage.commit(g, samples, counted, Image.new("L", (1, 1)), findings)
        return run

    return make


def _real() -> tuple[Tensor, Tensor]:
    real, labels = images([40, 20, 0])
    return real.pixels.float().mean((2, 3)), labels


@pytest.fixture
def vanishing(make_run: Make) -> Run:
    """Three classes; the rarest is last seen in generation 1, one sample is unrecognised in 2."""
    return make_run(
        [[60, 30, 10, 0], [64, 31, 5, 0], [70, 29, 0, 1]], classes=["dog", "cat", "<b>fox</b> & $x"]
    )
