"""T10: what a detector of synthetic images, such as a watermark's, does to drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import curate
from imgcollapse.curation.base import FilterInput
from imgcollapse.theory import detection_variance
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import NO_RESERVE, counts, resampled

CLASSES = 10
NOWHERE = Path("no folder: nobody leaves anything for a detector")


class Detection:
    """Real images and samples are offered together; a detector takes samples out, and errs.

    All is measured on training sets, in squared deviations of class shares from those of the real
    images that are left, summed over classes: `drift` below.
    """

    id = "T10"
    title = "A detector of synthetic images"
    threads = 1
    source = (
        "Kanabar & Gastpar 2026: a perfect detector restores the real sample size; as the real "
        "share vanishes, detection helps only if the rate of misses vanishes too. With n real "
        "images and lambda n samples offered, (1-fpr) n and lambda (1-tpr) n are learned from in "
        "the mean, and drift settles as in T6 with a = R/(R+B), n = R+B: exact over R and B."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Count what is left, let shares drift, and let the real share vanish."""
        drift, course = self._drift(trial)
        vanishing, plot = self._vanishing(trial)
        return Outcome([*self._left(trial), *drift, *vanishing], [course, plot])

    def _left(self, trial: LawContext) -> list[Measurement]:
        n, ratio, tpr, fpr = 200, 2, 0.9, 0.05
        sets = [
            next(_later(trial, n, ratio, tpr, fpr, trial.seed / "left" / i))
            for i in range(trial.replicates(200))
        ]
        real = [len(kept) for kept, _ in sets]
        born = [len(training) - len(kept) for kept, training in sets]
        rates = f"tpr = {tpr}, fpr = {fpr}, n = {n}, lambda = {ratio}"
        return [
            compare(f"real images in a training set, {rates}", real, (1 - fpr) * n),
            compare(f"samples in it, {rates}", born, ratio * (1 - tpr) * n),
        ]

    def _drift(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, ratio, generations = 200, 2, 24
        findings, curves = [], []
        for tpr, fpr in ((0.0, 0.0), (0.5, 0.05), (0.9, 0.05), (1.0, 0.0)):
            seen = np.stack(
                [
                    _course(trial, n, ratio, tpr, fpr, generations, trial.seed / "drift" / tpr_i)
                    for tpr_i in (f"{tpr}/{i}" for i in range(trial.replicates(50)))
                ]
            )
            theory = n * detection_variance(n, ratio * n, tpr, fpr, generations)
            what = f"n x drift, tpr = {tpr:g}, fpr = {fpr:g}, lambda = {ratio}, n = {n}"
            findings.append(compare(what, n * seen[:, 8:].mean(axis=1), theory[8:].mean()))
            x = np.arange(1, generations + 1)
            curves.append(Curve.of(f"tpr = {tpr:g}, fpr = {fpr:g}", x, theory, n * seen))
        return findings, Plot("n x drift in training sets", "generation", curves)

    def _vanishing(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        """Ever more samples for each real image; 2 R x drift goes to 1, or stays below."""
        n, generations, ratios = 40, 60, (1, 4, 16)
        findings, curves = [], []
        for name, tpr_of in (
            ("no detector", lambda ratio: 0.0),
            ("misses 10%", lambda ratio: 0.9),
            ("misses 1/(2 lambda)", lambda ratio: 1 - 0.5 / ratio),
        ):
            seen, theory = [], []
            for ratio in ratios:
                tpr = tpr_of(ratio)
                law = detection_variance(n, ratio * n, tpr, 0.0, generations)[30:].mean()
                runs = [
                    _course(trial, n, ratio, tpr, 0.0, generations, trial.seed / name / ratio / i)[
                        30:
                    ].mean()
                    for i in range(trial.replicates(30))
                ]
                theory.append(2 * n * law)
                seen.append(2 * n * np.array(runs))
            what = f"2n x drift, {name}, lambda = {ratios[-1]}, n = {n}"
            findings.append(compare(what, seen[-1], theory[-1]))
            curves.append(Curve.of(name, ratios, theory, np.stack(seen, axis=1)))
        title = "2n x drift as the real share 1/(1 + lambda) vanishes"
        return findings, Plot(title, "lambda", curves, log_x=True)


def _course(
    trial: LawContext, n: int, ratio: int, tpr: float, fpr: float, generations: int, seed: Seed
) -> Array:
    """Drift in training sets 1..G over that of one image, sum_k p_k (1 - p_k): float64[G]."""
    scale, course = 1 - 1 / CLASSES, np.zeros(generations)
    sets = _later(trial, n, ratio, tpr, fpr, seed)
    # The first training set is the real images that are left, and drift begins at 0.
    for t, (kept, training) in zip(range(1, generations), sets, strict=False):
        x, r = (counts(labels, CLASSES) / len(labels) for labels in (training, kept))
        course[t] = np.square(x - r).sum() / scale
    return course


def _later(
    trial: LawContext, n: int, ratio: int, tpr: float, fpr: float, seed: Seed
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of the second model and all later ones: the real labels that are left, and its training set.

    The order of events is loop.py's: the last generation is screened, the regime takes positions
    in the pool, and the model learns what lies there.
    """
    regime = trial.parts.real_plus_synthetic(ratio=ratio)
    detector = (trial.parts.detector(tpr=tpr, fpr=fpr),)
    real = (torch.arange(n) % CLASSES).to(torch.int16)
    archive = LineageImages(LabelsOnly(real), NO_RESERVE)
    g = 0
    while True:
        g += 1
        seen = _seen(g - 1, archive.generations[g - 1].labels)
        archive.restrict(g - 1, curate(detector, seen, seed / g / "curate"))
        chosen = regime.select(archive, g, seed / g / "select")
        if g > 1:
            labels = archive.labels(chosen)
            yield labels[chosen.generation == 0], labels
        born = resampled(trial.parts.resample, archive.gather(chosen), ratio * n, seed / g)
        archive.append(born)


def _seen(generation: int, labels: Tensor) -> FilterInput:
    """What a detector that looks at nothing is shown."""
    n, none = len(labels), torch.empty(len(labels), 0)
    return FilterInput(
        generation,
        torch.arange(n, dtype=torch.int32),
        [str(k) for k in range(CLASSES)],
        LabelsOnly(labels),
        counted=labels,
        probabilities=none,
        features=none,
        atypicality=torch.zeros(n, dtype=torch.float64),
        held_out=torch.zeros(0, dtype=torch.float64),
        folder=NOWHERE,
    )
