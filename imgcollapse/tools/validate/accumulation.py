"""T7: what keeping all generations does, to classes and to a linear regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import Regime
from imgcollapse.theory import (
    heterozygosity_accumulate,
    heterozygosity_accumulate_limit,
    heterozygosity_accumulate_pool,
    heterozygosity_replace,
    regression_accumulate,
    regression_accumulate_bound,
    regression_replace,
)
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import NO_RESERVE, heterozygosity, history

N = 200
POINTS, DIMENSION, NOISE = 40, 8, 1.0
"""Rows, dimensions and noise variance of the regression."""


class Accumulation:
    """Where nothing is thrown away drift comes to an end above zero, and so does the error."""

    id = "T7"
    title = "Accumulate"
    threads = 1
    source = (
        "Heterozygosity of all that was kept: H_t = H_0 prod_{s=2}^{t+1} (1 - 1/(n s^2)), above "
        "H_0 sin(pi/sqrt n)/(pi/sqrt n) for ever (Euler's product). Gerstgrasser et al. 2024: the "
        "test error of a linear regression on its own labels grows as t sigma^2 d/(T-d-1) when "
        "they replace, and stays under pi^2/6 sigma^2 d/(T-d-1) when they accumulate."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Let classes drift, and regressions learn from themselves."""
        classes, diversity = self._classes(trial)
        regression, errors = self._regression(trial)
        return Outcome([*classes, *regression], [diversity, errors])

    def _classes(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        parts, short, long = trial.parts, 40, 100
        kept, born = _diversity(trial, parts.accumulate, short, 100)
        _, some = _diversity(trial, parts.subsample, long, 100)
        _, last = _diversity(trial, parts.replace, long, 100)
        pool = [heterozygosity_accumulate_pool(1, N, t) for t in range(short)]
        drawn = heterozygosity_subsample(N, long)
        alone = [heterozygosity_replace(1, N, t) for t in range(1, long + 1)]
        findings = [
            compare("H_1 / H_0 of all that is kept, n = 200", kept[:, 1], pool[1]),
            compare("H_39 / H_0 of all that is kept, n = 200", kept[:, -1], pool[-1]),
            compare(
                "H_40 / H_0 of generation 40 alone, all is kept, n = 200",
                born[:, -1],
                heterozygosity_accumulate(1, N, short),
                f"{heterozygosity_accumulate_limit(1, N):.4f}, the limit",
            ),
            compare(
                "H_100 / H_0, accumulate-subsample, n = 200", some[:, -1], drawn[-1], "about 0.987"
            ),
            compare("H_100 / H_0, replace, n = 200", last[:, -1], alone[-1], "0.604"),
        ]
        each = slice(4, None, 5)
        t = np.arange(1, long + 1)[each]
        curves = [
            Curve.of("accumulate", np.arange(short)[::3], pool[::3], kept[:, ::3]),
            Curve.of("subsample", t, drawn[each], some[:, each]),
            Curve.of("replace", t, alone[each], last[:, each]),
        ]
        return findings, Plot("Heterozygosity over its start", "generation", curves)

    def _regression(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        last, findings, curves = 10, [], []
        setting = POINTS, DIMENSION, NOISE
        fits = np.arange(1, last + 1)
        for name, regime, theory in (
            ("replace", trial.parts.replace, regression_replace),
            ("accumulate", trial.parts.accumulate, regression_accumulate),
        ):
            errors = np.array(
                [
                    _errors(regime, last, trial.seed / "regression" / i)
                    for i in range(trial.replicates(600))
                ]
            )
            expected = [theory(*setting, int(t)) for t in fits]
            what = f"test error of regression {{}}, {name}, T = {POINTS}, d = {DIMENSION}"
            findings += [
                compare(what.format(t), errors[:, t - 1], expected[t - 1]) for t in (1, last)
            ]
            curves.append(Curve.of(name, fits, expected, errors))
        below = (0.0, regression_accumulate_bound(*setting))
        what = f"test error of regression {last}, accumulate, under pi^2/6 times that of one fit"
        findings.append(compare(what, errors[:, -1], below))
        return findings, Plot("Test error of a regression", "fit", curves)


def heterozygosity_subsample(n: int, generations: int) -> list[float]:
    """E[H_t] / H_0 of generations t = 1.. under accumulate-subsample with a perfect learner.

    Of the t n images before it, n are drawn without replacement: their H is that of the pool times
    c = (1 - 1/n) / (1 - 1/(t n)). The n samples' H is 1 - 1/n times that, and they move the pool's
    shares by their own error, of which 1/(t+1) remains: pool' = pool [1 - (1 - c (1-1/n))/(t+1)^2].
    """
    pool, course = 1.0, []
    for t in range(1, generations + 1):
        drawn = (1 - 1 / n) ** 2 / (1 - 1 / (t * n))
        course.append(pool * drawn)
        pool *= 1 - (1 - drawn) / (t + 1) ** 2
    return course


def _diversity(
    trial: LawContext, regime: Regime, generations: int, replicates: int
) -> tuple[Array, Array]:
    """Heterozygosity over its start, of training sets and of samples: float64[S, G] each."""
    real = torch.arange(N, dtype=torch.int16)
    courses = []
    for i in range(trial.replicates(replicates)):
        seed = trial.seed / regime.kind / i
        lineage = history(regime, trial.parts.resample, real, generations, seed)
        courses.append(
            [[heterozygosity(born.training), heterozygosity(born.samples)] for born in lineage]
        )
    seen = np.array(courses) / heterozygosity(real)
    return seen[:, :, 0], seen[:, :, 1]


def _errors(regime: Regime, fits: int, seed: Seed) -> list[float]:
    """|w_t - w*|^2 of t = 1.. when a regime picks the labels that each fit learns from.

    The same points are labelled again by every fit, as in Gerstgrasser et al.; w* is 0.
    """
    noise = seed.numpy()
    points = noise.standard_normal((POINTS, DIMENSION))
    answers = noise.normal(0, NOISE**0.5, POINTS)[None]
    rows = LabelsOnly(torch.zeros(POINTS, dtype=torch.int16))
    archive, errors = LineageImages(rows, NO_RESERVE), []
    for t in range(1, fits + 1):
        chosen = regime.select(archive, t, seed / t)
        generation, row = chosen.generation.long().numpy(), chosen.row.long().numpy()
        weights = np.linalg.lstsq(points[row], answers[generation, row])[0]
        errors.append(float(weights @ weights))
        labelled = points @ weights + noise.normal(0, NOISE**0.5, POINTS)
        answers = np.vstack([answers, labelled])
        archive.append(rows)
    return errors
