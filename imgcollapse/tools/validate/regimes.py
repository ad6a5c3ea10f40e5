"""T6 and T7: the effect of real images, and of keeping all generations, on drift."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from imgcollapse import theory
from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.regimes import Regime
from imgcollapse.tools.validate.laws import Array, Curve, Law, LawContext, Outcome, Plot, compare
from imgcollapse.tools.validate.lineages import NO_RESERVE, counts, heterozygosity, lineage

N = 200
"""Images of a generation in T7."""
POINTS, DIMENSION, NOISE = 40, 8, 1.0
"""Rows, dimensions and noise variance of the regression in T7."""


def _stationary(context: LawContext) -> Outcome:
    """All is measured on training sets, which have both real images and samples."""
    n, fractions, measurements, curves = 1000, (0.05, 0.1, 0.3), [], []
    for fresh, published in ((True, "0.00524"), (False, "0.00471")):
        name, replicates = "fresh" if fresh else "fixed", []
        for a in fractions:
            run = partial(_chi_square, context, n, a, fresh)
            replicates.append(context.replicate(60, run, name, str(a)))
        seen = np.stack(replicates, axis=1)
        variances = [theory.real_fraction_variance(n, a, fresh) for a in fractions]
        what = f"V/(pq), a = 0.1, {name} real images, n = {n}"
        over_classes = f"sum (x-p)^2/p over 10 classes, a = 0.05, {name}, n = {n}"
        expected = theory.real_fraction_chi_square(n, 0.05, fresh, 10)
        measurements.append(compare(what, seen[:, 1] / 9, variances[1], published))
        measurements.append(compare(over_classes, seen[:, 0], expected))
        curves.append(Curve.of(name, fractions, variances, seen / 9))
    title = "Variance of a share over pq, log scales"
    return Outcome(measurements, [Plot(title, "real fraction a", curves, log_x=True, log_y=True)])


def _absent(context: LawContext) -> Outcome:
    n, classes, k = 1000, 500, 50
    real = torch.arange(n, dtype=torch.int16) % classes
    measurements, curves = [], []
    for a, published in ((0.0, "0.93"), (0.01, "0.83"), (0.1, "0.44")):
        regime = context.parts.real_fraction(fraction=a, fresh=True)

        def run(seed: Seed, regime: Regime = regime) -> list[float]:
            """Share of the classes without an image in each training set."""
            sets = _training_sets(context, regime, real, classes, k + 1, seed)
            return [(counts(labels, classes) == 0).mean() for labels in sets]

        absent = np.array(context.replicate(16, run, "flicker", str(a)))
        law = [theory.no_copy(n, 1 / classes, a, t) for t in range(k + 1)]
        name = f"no copy in training set {k}, p = 0.002, n = {n}, a = {a:g}"
        measurements.append(compare(name, absent[:, k], law[k], published))
        x = np.arange(0, k + 1, 5)
        curves.append(Curve.of(f"a = {a:g}", x, np.array(law)[x], absent[:, x]))
    title = "Chance that a rare class is missing"
    return Outcome(measurements, [Plot(title, "generation", curves)])


def _chi_square(context: LawContext, n: int, a: float, fresh: bool, seed: Seed) -> float:
    """Mean over later generations of sum_k (x_k - p_k)^2 / p_k, ten classes of a tenth each."""
    classes = 10
    # The rest of the start's even shares falls as (1-a)^2t: below 1e-4 from here on.
    settled = int(np.ceil(np.log(1e-4) / (2 * np.log(1 - a))))
    real = (torch.arange(n) % classes).to(torch.int16)
    regime = context.parts.real_fraction(fraction=a, fresh=fresh)
    sets = _training_sets(context, regime, real, classes, settled + 60, seed)
    x = np.stack([counts(labels, classes) / n for labels in sets[settled:]])
    return float((((x - 1 / classes) ** 2) * classes).sum(axis=1).mean())


def _training_sets(
    context: LawContext, regime: Regime, real: Tensor, classes: int, generations: int, seed: Seed
) -> list[Tensor]:
    """Labels of training sets 1.., with a reserve of independent draws from equal classes."""
    size, rng = regime.fresh_used(len(real), generations), (seed / "reserve").torch()
    reserve = LabelsOnly(torch.randint(classes, (size,), generator=rng, dtype=torch.int16))
    generation = lineage(regime, context.parts.resample, real, seed, generations, reserve)
    return [g.training for g in generation]


REAL_SHARE = Law(
    "T6",
    "A fraction of real data",
    "Wright 1931, the island model: with a fraction a of fresh real images the variance of a "
    "class's share settles at V/(pq) = 1/[n - (n-1)(1-a)^2]; with the same real subset at "
    "(1-a)/[n (1-(1-a)^2) + (1-a)]. Over K classes, E sum (x-p)^2/p = (K-1) V/(pq).",
    (_stationary, _absent),
)


def _classes(context: LawContext) -> Outcome:
    parts, short, long = context.parts, 40, 100
    kept, samples = _heterozygosity(context, parts.accumulate, short)
    _, subsampled = _heterozygosity(context, parts.subsample, long)
    _, replaced = _heterozygosity(context, parts.replace, long)
    pool = [theory.heterozygosity_accumulate_pool(1, N, t) for t in range(short)]
    alone_of_all = theory.heterozygosity_accumulate(1, N, short)
    limit = f"{theory.heterozygosity_accumulate_limit(1, N):.4f}, the limit"
    drawn = heterozygosity_subsample(N, long)
    alone = [theory.heterozygosity_replace(1, N, t) for t in range(1, long + 1)]
    last = "H_40 / H_0 of generation 40 alone, all is kept, n = 200"
    subsample = "H_100 / H_0, accumulate-subsample, n = 200"
    measurements = [
        compare("H_1 / H_0 of all that is kept, n = 200", kept[:, 1], pool[1]),
        compare("H_39 / H_0 of all that is kept, n = 200", kept[:, -1], pool[-1]),
        compare(last, samples[:, -1], alone_of_all, limit),
        compare(subsample, subsampled[:, -1], drawn[-1], "about 0.987"),
        compare("H_100 / H_0, replace, n = 200", replaced[:, -1], alone[-1], "0.604"),
    ]
    each = slice(4, None, 5)
    t = np.arange(1, long + 1)[each]
    curves = [
        Curve.of("accumulate", np.arange(short)[::3], pool[::3], kept[:, ::3]),
        Curve.of("subsample", t, drawn[each], subsampled[:, each]),
        Curve.of("replace", t, alone[each], replaced[:, each]),
    ]
    return Outcome(measurements, [Plot("Heterozygosity over its start", "generation", curves)])


def heterozygosity_subsample(n: int, generations: int) -> list[float]:
    """E[H_t] / H_0 of generations t = 1.. under accumulate-subsample with a perfect learner.

    Of the t n images before it, n are drawn without replacement: their H is that of the pool times
    c = (1 - 1/n) / (1 - 1/(t n)). The n samples' H is 1 - 1/n times that, and they move the pool's
    shares by their own error, of which 1/(t+1) remains: pool' = pool [1 - (1 - c (1-1/n))/(t+1)^2].
    """
    pool, expected = 1.0, []
    for t in range(1, generations + 1):
        drawn = (1 - 1 / n) ** 2 / (1 - 1 / (t * n))
        expected.append(pool * drawn)
        pool *= 1 - (1 - drawn) / (t + 1) ** 2
    return expected


def _heterozygosity(context: LawContext, regime: Regime, generations: int) -> tuple[Array, Array]:
    """Heterozygosity over its start, of training sets and of samples: float64[S, G] each."""
    real = torch.arange(N, dtype=torch.int16)

    def run(seed: Seed) -> list[list[float]]:
        generation = lineage(regime, context.parts.resample, real, seed, generations)
        return [[heterozygosity(g.training), heterozygosity(g.samples)] for g in generation]

    seen = np.array(context.replicate(100, run, str(regime.kind))) / heterozygosity(real)
    return seen[:, :, 0], seen[:, :, 1]


def _regression(context: LawContext) -> Outcome:
    last, measurements, curves = 10, [], []
    setting = POINTS, DIMENSION, NOISE
    fits = np.arange(1, last + 1)
    errors = np.empty(0)
    for name, regime, law in (
        ("replace", context.parts.replace, theory.regression_replace),
        ("accumulate", context.parts.accumulate, theory.regression_accumulate),
    ):
        errors = np.array(context.replicate(600, partial(_errors, regime, last), "regression"))
        expected = [law(*setting, int(t)) for t in fits]
        label = f"test error of regression {{}}, {name}, T = {POINTS}, d = {DIMENSION}"
        measurements += [
            compare(label.format(t), errors[:, t - 1], expected[t - 1]) for t in (1, last)
        ]
        curves.append(Curve.of(name, fits, expected, errors))
    below = (0.0, theory.regression_accumulate_bound(*setting))
    label = f"test error of regression {last}, accumulate, under pi^2/6 times that of one fit"
    measurements.append(compare(label, errors[:, -1], below))
    return Outcome(measurements, [Plot("Test error of a regression", "fit", curves)])


def _errors(regime: Regime, fits: int, seed: Seed) -> list[float]:
    """|w_t - w*|^2 of t = 1.. when a regime selects the labels that each fit learns from.

    The same points are labeled again by every fit, as in Gerstgrasser et al.; w* is 0.
    """
    noise = seed.numpy()
    points = noise.standard_normal((POINTS, DIMENSION))
    answers = noise.normal(0, NOISE**0.5, POINTS)[None]
    rows = LabelsOnly(torch.zeros(POINTS, dtype=torch.int16))
    images, errors = LineageImages(rows, NO_RESERVE), []
    for _, _, chosen in training_sets(regime, images, lambda t: seed / t, last=fits):
        generation, row = chosen.generation.long().numpy(), chosen.row.long().numpy()
        weights = np.linalg.lstsq(points[row], answers[generation, row])[0]
        errors.append(float(weights @ weights))
        labeled = points @ weights + noise.normal(0, NOISE**0.5, POINTS)
        answers = np.vstack([answers, labeled])
        images.append(rows)
    return errors


ACCUMULATION = Law(
    "T7",
    "Accumulate",
    "Heterozygosity of all that was kept: H_t = H_0 prod_{s=2}^{t+1} (1 - 1/(n s^2)), above "
    "H_0 sin(pi/sqrt n)/(pi/sqrt n) for ever (Euler's product). Gerstgrasser et al. 2024: the "
    "test error of a linear regression on its own labels grows as t sigma^2 d/(T-d-1) when "
    "they replace, and stays under pi^2/6 sigma^2 d/(T-d-1) when they accumulate.",
    (_classes, _regression),
)
