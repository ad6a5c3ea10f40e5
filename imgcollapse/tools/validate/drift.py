"""T3 to T5 and N_e: survival of rare classes, drift of shares, effective population size.

In T3 and T4 a class of m copies among n images has Poisson(m) copies in the next n, to 1/n. Every
lineage holds many such classes; standard errors are taken between lineages.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from imgcollapse import theory
from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.seeds import Seed
from imgcollapse.drift import absorption_time_exact, effective_size
from imgcollapse.tools.validate import lineages
from imgcollapse.tools.validate.laws import Array, Curve, Law, LawContext, Outcome, Plot, compare
from imgcollapse.tools.validate.lineages import counts, fit_and_sample, heterozygosity, labels_of


def _replaced(
    context: LawContext, real: Tensor, generations: int, seed: Seed
) -> Iterator[lineages.Generation]:
    """A lineage in which every generation replaces the one before."""
    parts = context.parts
    return lineages.lineage(parts.replace, parts.resample, real, seed, generations)


def _alive(context: LawContext, real: Tensor, generations: int, seed: Seed) -> Array:
    """1 for each class that has a sample in a generation, else 0: float64[G, K]."""
    classes, replaced = len(real.unique()), _replaced(context, real, generations, seed)
    return np.stack([counts(g.samples, classes) > 0 for g in replaced]).astype(np.float64)


def _survival(context: LawContext) -> Outcome:
    n, copies, last = 60_000, 30, 100
    real = labels_of(*[copies] * (n // copies))
    replicates = context.replicate(24, partial(_alive, context, real, last), "survival")
    alive = np.stack(replicates).mean(axis=2)
    k = np.arange(1, last + 1)
    law = [float(theory.survival(n, copies / n, each)) for each in k.tolist()]
    name = "alive after {} generations, n = 60,000, p = 0.0005"
    measurements = [
        compare(name.format(10), alive[:, 9], law[9]),
        compare(name.format(100), alive[:, 99], law[99], "0.4436"),
    ]
    curve = Curve.of("30 copies", k[4::5], law[4::5], alive[:, 4::5])
    return Outcome(measurements, [Plot("Share of classes alive", "generation", [curve])])


def _medians(context: LawContext) -> Outcome:
    n, sizes = 20_000, (5, 10, 20, 50, 100)
    per_size = n // len(sizes)
    real = labels_of(*(m for m in sizes for _ in range(per_size // m)))
    last = theory.median_loss(sizes[-1])
    copies = counts(real, len(real.unique()))
    alive = np.stack(context.replicate(16, partial(_alive, context, real, last), "median"))
    measurements, curves = [], []
    for m in sizes:
        share = alive[:, :, copies == m].mean(axis=2)
        k = theory.median_loss(m)
        name = f"alive at the median generation of loss, {k}, of {m} copies"
        law = float(theory.survival(n, m / n, k))
        measurements.append(compare(name, share[:, k - 1], law, "0.5"))
        x = np.unique(np.geomspace(1, last, 14).round().astype(int))
        line = [float(theory.survival(n, m / n, each)) for each in x.tolist()]
        curves.append(Curve.of(f"{m} copies", x, line, share[:, x - 1]))
    title = "Share alive, by copies at the start"
    return Outcome(measurements, [Plot(title, "generation", curves, log_x=True)])


def _lost(context: LawContext) -> Outcome:
    k, n = 50, 5_000
    tail = np.geomspace(1, 40, 100).round().astype(int).tolist()
    real = labels_of(*tail, n - sum(tail))

    def run(seed: Seed) -> int:
        return 101 - [len(g.samples.unique()) for g in _replaced(context, real, k, seed)][-1]

    name = f"of 101 long-tailed classes lost after {k} generations, n = 5,000"
    expected = theory.classes_lost(n, counts(real, 101) / n, k)
    return Outcome([compare(name, context.replicate(100, run, "lost"), expected)])


SURVIVAL = Law(
    "T3",
    "Survival of a rare class",
    "Suresh et al. 2024: g_1 = 1, g_{k+1} = 1 - exp(-g_k); a class of frequency p among n images "
    "is alive after k generations with probability 1 - exp(-n p g_k), so half of the classes of m "
    "copies are gone after about 2.9 m generations.",
    (_survival, _medians, _lost),
)


def _first_extinction(context: LawContext) -> Outcome:
    n, p = 1000, np.array([0.6, 0.3, 0.06, 0.03, 0.01])
    real = labels_of(*(n * p).round().astype(int).tolist())

    def run(seed: Seed) -> float:
        # Waiting longer would change nothing: the probability of 600 is below 1e-4.
        alive = (len(g.samples.unique()) for g in _replaced(context, real, 600, seed))
        return float(next((g for g, classes in enumerate(alive, 1) if classes < 5), 600))

    first = np.array(context.replicate(4000, run, "first"))
    name = "mean generation of the first extinction, n = 1000, p = .6 .3 .06 .03 .01"
    mean = compare(name, first, theory.first_extinction_mean(n, p), "35.5 ± 0.9")
    k = np.arange(0, 121, 6)
    law = [theory.first_extinction(n, p, int(each)) for each in k]
    curve = Curve.of("all alive", k, law, (first[:, None] > k).astype(np.float64))
    return Outcome([mean], [Plot("Chance that all five classes are alive", "generation", [curve])])


FIRST_EXTINCTION = Law(
    "T4",
    "First extinction",
    "Suresh et al. 2024: Pr(T > k) = prod_i (1 - exp(-n p_i g_k)), as if classes did not compete.",
    (_first_extinction,),
)


def _shares(context: LawContext) -> Outcome:
    real, last = labels_of(80, 60, 40, 20), 30

    def run(seed: Seed) -> list[Array]:
        return [counts(g.samples, 4) / 200 for g in _replaced(context, real, last, seed)]

    seen = np.array(context.replicate(400, run, "shares"))
    start = counts(real, 4) / 200
    name = "mean share of a class of {:.0%} after 30 generations, n = 200"
    measurements = [compare(name.format(p), seen[:, -1, k], p) for k, p in enumerate(start)]
    x = np.arange(1, last + 1)[4::5]
    curves = [
        Curve.of(f"class of {p:.0%}", x, np.full(len(x), p), seen[:, 4::5, k])
        for k, p in enumerate(start)
    ]
    return Outcome(measurements, [Plot("Mean share", "generation", curves)])


def _heterozygosity(context: LawContext) -> Outcome:
    """In these lineages, and in those of `_absorption`, every real image is a class of its own."""
    n, last = 200, 100
    real = torch.arange(n, dtype=torch.int16)

    def run(seed: Seed) -> tuple[list[float], float]:
        generations = [g.samples for g in _replaced(context, real, last, seed)]
        return list(map(heterozygosity, generations)), 1 - len(generations[0].unique()) / n

    seen, lost = zip(*context.replicate(150, run, "founders"), strict=True)
    relative = np.array(seen) / heterozygosity(real)
    law = [theory.heterozygosity_replace(1, n, t) for t in range(1, last + 1)]
    measurements = [
        compare(f"H_t / H_0, t = {t}, n = {n}", relative[:, t - 1], law[t - 1]) for t in (10, last)
    ]
    single = "a single copy is lost in one generation, n = 200"
    measurements.append(compare(single, lost, theory.lost_in_one_generation(n)))
    curve = Curve.of("replace", np.arange(1, last + 1)[4::5], law[4::5], relative[:, 4::5])
    return Outcome(measurements, [Plot("Heterozygosity over its start", "generation", [curve])])


def _absorption(context: LawContext) -> Outcome:
    """Times to absorption of m founders, averaged over disjoint sets of a lineage."""
    n, sizes = 30, (3, 15)
    real = torch.arange(n, dtype=torch.int16)

    def run(seed: Seed) -> dict[int, float]:
        since = {m: np.zeros(n // m) for m in sizes}
        # More than one of 30 founders is left after 1,000 generations with probability 1e-14.
        for generation in _replaced(context, real, 1000, seed):
            copies = counts(generation.samples, n)
            for m, waited in since.items():
                together = copies.reshape(-1, m).sum(axis=1)
                waited += (together > 0) & (together < n)
            if copies.max() == n:
                break
        return {m: float(waited.mean()) + 1 for m, waited in since.items()}

    times = context.replicate(400, run, "absorption")
    measurements = []
    for m in sizes:
        name = f"generations until a class of {m} of {n} is lost or alone"
        diffusion = f"{theory.absorption_time(n, m / n):.1f}, the diffusion"
        waited = [each[m] for each in times]
        measurements.append(compare(name, waited, absorption_time_exact(n, m), diffusion))
    return Outcome(measurements)


DRIFT = Law(
    "T5",
    "Drift",
    "Wright 1931: shares keep their mean, E[H_t] = H_0 (1 - 1/n)^t, and a single copy is lost in "
    "one generation with probability (1 - 1/n)^n. Kimura & Ohta 1969: a class of frequency p is "
    "lost or alone after -2n (p ln p + q ln q) generations; the theory here is the exact chain.",
    (_shares, _heterozygosity, _absorption),
)


def _effective_size(context: LawContext) -> Outcome:
    """Two samples of class counts, t generations apart, give back the number of images."""
    n, apart, classes = 500, (5, 10, 20), 50
    real = labels_of(*[10] * classes)

    def sampled(labels: Tensor, seed: Seed) -> Array:
        drawn = fit_and_sample(context.parts.resample, LabelsOnly(labels), n, seed)
        return counts(drawn.labels, classes)

    def run(seed: Seed) -> list[float]:
        before = sampled(real, seed / "before")
        generations = list(_replaced(context, real, apart[-1], seed))
        after = (sampled(generations[t - 1].samples, seed / "after" / t) for t in apart)
        sizes = [effective_size(before, x, t).value for x, t in zip(after, apart, strict=True)]
        return [0.0 if size is None else 1 / size for size in sizes]

    drift = np.array(context.replicate(300, run, "effective"))
    # The unbiased estimate is that of 1/N_e; the heterozygosity lost in t generations is not
    # t/n but 1 - (1 - 1/n)^t, which the estimator's t/F' does not allow for.
    law = [n / t * (1 - theory.heterozygosity_replace(1, n, t)) for t in apart]
    name = "n / N_e from samples {} generations apart, n = 500"
    published = ("500 / 499.6", None, None)
    measurements = [
        compare(name.format(t), n * drift[:, i], law[i], published[i]) for i, t in enumerate(apart)
    ]
    curve = Curve.of("n / N_e", apart, law, n * drift)
    return Outcome(measurements, [Plot("n over its estimate", "generations apart", [curve])])


EFFECTIVE_SIZE = Law(
    "N_e",
    "Effective population size",
    "Jorde & Ryman 2007, for haploids: N_e = t / F', with F' the change of shares that sampling "
    "does not explain.",
    (_effective_size,),
)
