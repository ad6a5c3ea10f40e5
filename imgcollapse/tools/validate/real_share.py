"""T6: what a share of real images in every training set does to drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.seeds import Seed
from imgcollapse.theory import no_copy, real_fraction_chi_square, real_fraction_variance
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import Born, counts, history


class RealShare:
    """A share a of real images bounds drift for ever: fresh ones, or the same ones each time.

    All is measured on training sets: that is where real images and samples are together.
    """

    id = "T6"
    title = "A fraction of real data"
    threads = 1
    source = (
        "Wright 1931, the island model: with a fraction a of fresh real images the variance of a "
        "class's share settles at V/(pq) = 1/[n - (n-1)(1-a)^2]; with the same real subset at "
        "(1-a)/[n (1-(1-a)^2) + (1-a)]. Over K classes, E sum (x-p)^2/p = (K-1) V/(pq)."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Let shares settle, and watch a rare class flicker."""
        stationary, variance = self._stationary(trial)
        flicker, none = self._flicker(trial)
        return Outcome([*stationary, *flicker], [variance, none])

    def _stationary(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, fractions = 1000, (0.05, 0.1, 0.3)
        findings, curves = [], []
        for fresh, published in ((True, "0.00524"), (False, "0.00471")):
            name = "fresh" if fresh else "fixed"
            seen = np.stack(
                [
                    [
                        self._settled(trial, n, a, fresh, trial.seed / name / str(a) / i)
                        for a in fractions
                    ]
                    for i in range(trial.replicates(60))
                ]
            )
            findings.append(
                compare(
                    f"V/(pq), a = 0.1, {name} real images, n = {n}",
                    seen[:, 1] / 9,
                    real_fraction_variance(n, 0.1, fresh),
                    published,
                )
            )
            findings.append(
                compare(
                    f"sum (x-p)^2/p over 10 classes, a = 0.05, {name}, n = {n}",
                    seen[:, 0],
                    real_fraction_chi_square(n, 0.05, fresh, 10),
                )
            )
            theory = [real_fraction_variance(n, a, fresh) for a in fractions]
            curves.append(Curve.of(name, fractions, theory, seen / 9))
        title = "Variance of a share over pq, log scales"
        return findings, Plot(title, "real fraction a", curves, log_x=True, log_y=True)

    def _settled(self, trial: LawContext, n: int, a: float, fresh: bool, seed: Seed) -> float:
        """Mean over later generations of sum_k (x_k - p_k)^2 / p_k, ten classes of a tenth each."""
        classes = 10
        # What is left of the start's even shares falls as (1-a)^2t: below 1e-4 from here on.
        settled = int(np.ceil(np.log(1e-4) / (2 * np.log(1 - a))))
        generations = settled + 60
        real = (torch.arange(n) % classes).to(torch.int16)
        regime = trial.parts.real_fraction(fraction=a, fresh=fresh)
        reserve = _drawn(classes, regime.fresh_used(n, generations), seed / "reserve")
        lineage = history(regime, trial.parts.resample, real, generations, seed, reserve)
        x = np.stack([counts(born.training, classes) / n for born in lineage[settled:]])
        return float((((x - 1 / classes) ** 2) * classes).sum(axis=1).mean())

    def _flicker(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, classes, k = 1000, 500, 50
        real = torch.arange(n, dtype=torch.int16) % classes
        findings, curves = [], []
        for a, published in ((0.0, "0.93"), (0.01, "0.83"), (0.1, "0.44")):
            regime = trial.parts.real_fraction(fraction=a, fresh=True)
            missing = []
            for i in range(trial.replicates(16)):
                seed = trial.seed / "flicker" / str(a) / i
                reserve = _drawn(classes, regime.fresh_used(n, k + 1), seed / "reserve")
                lineage = history(regime, trial.parts.resample, real, k + 1, seed, reserve)
                missing.append(_missing(lineage, classes))
            absent = np.stack(missing)
            theory = [no_copy(n, 1 / classes, a, t) for t in range(k + 1)]
            what = f"no copy in training set {k}, p = 0.002, n = {n}, a = {a:g}"
            findings.append(compare(what, absent[:, k], theory[k], published))
            x = np.arange(0, k + 1, 5)
            curves.append(Curve.of(f"a = {a:g}", x, np.array(theory)[x], absent[:, x]))
        return findings, Plot("Chance that a rare class is missing", "generation", curves)


def _drawn(classes: int, size: int, seed: Seed) -> LabelsOnly:
    """A reserve of independent draws from K equal classes."""
    return LabelsOnly(torch.randint(classes, (size,), generator=seed.torch(), dtype=torch.int16))


def _missing(lineage: list[Born], classes: int) -> Array:
    """Share of the classes without an image in each training set: float64[G]."""
    return np.array([(counts(born.training, classes) == 0).mean() for born in lineage])
