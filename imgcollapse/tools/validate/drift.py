"""T3 to T5 and N_e: survival of rare classes, drift of shares, effective population size.

In T3 and T4 a class of m copies among n images has Poisson(m) copies in the next n, to 1/n. Every
lineage holds many such classes; standard errors are taken between lineages.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from imgcollapse import theory
from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.seeds import Seed
from imgcollapse.drift import absorption_time_exact, effective_size
from imgcollapse.theory import absorption_time, heterozygosity_replace, lost_in_one_generation
from imgcollapse.tools.validate import laws
from imgcollapse.tools.validate.laws import Array, Curve, LawContext, Outcome, Plot, compare
from imgcollapse.tools.validate.lineages import (
    counts,
    fit_and_sample,
    heterozygosity,
    labels_of,
    lineage,
)


class Survival(laws.Law):
    """A rare class survives k generations with probability 1 - exp(-n p g_k)."""

    id = "T3"
    title = "Survival of a rare class"
    source = (
        "Suresh et al. 2024: g_1 = 1, g_{k+1} = 1 - exp(-g_k); a class of frequency p among n "
        "images is alive after k generations with probability 1 - exp(-n p g_k), so half of the "
        "classes of m copies are gone after about 2.9 m generations."
    )

    def test(self, context: LawContext) -> Outcome:
        """Counts the classes that survive."""
        return laws.join(self._alive(context), self._medians(context), self._lost(context))

    def _alive(self, context: LawContext) -> Outcome:
        n, copies, last = 60_000, 30, 100
        real = labels_of(*[copies] * (n // copies))
        alive = np.stack(
            context.replicate(24, lambda seed: _alive(context, real, last, seed), "survival")
        ).mean(axis=2)
        k = np.arange(1, last + 1)
        law = [float(theory.survival(n, copies / n, each)) for each in k.tolist()]
        name = "alive after {} generations, n = 60,000, p = 0.0005"
        measurements = [
            compare(name.format(10), alive[:, 9], law[9]),
            compare(name.format(100), alive[:, 99], law[99], "0.4436"),
        ]
        curve = Curve.of("30 copies", k[4::5], law[4::5], alive[:, 4::5])
        return Outcome(measurements, [Plot("Share of classes alive", "generation", [curve])])

    def _medians(self, context: LawContext) -> Outcome:
        n, sizes = 20_000, (5, 10, 20, 50, 100)
        per_size = n // len(sizes)
        real = labels_of(*(m for m in sizes for _ in range(per_size // m)))
        last = theory.median_loss(sizes[-1])
        copies = counts(real, len(real.unique()))
        alive = np.stack(
            context.replicate(16, lambda seed: _alive(context, real, last, seed), "median")
        )
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

    def _lost(self, context: LawContext) -> Outcome:
        k, n = 50, 5_000
        tail = np.geomspace(1, 40, 100).round().astype(int).tolist()
        real = labels_of(*tail, n - sum(tail))
        lost = context.replicate(
            100, lambda seed: 101 - list(_classes_alive(context, real, seed, k))[-1], "lost"
        )
        name = f"of 101 long-tailed classes lost after {k} generations, n = 5,000"
        return Outcome([compare(name, lost, theory.classes_lost(n, counts(real, 101) / n, k))])


class FirstExtinction(laws.Law):
    """All classes survive k generations with probability prod_i (1 - exp(-n p_i g_k))."""

    id = "T4"
    title = "First extinction"
    source = (
        "Suresh et al. 2024: Pr(T > k) = prod_i (1 - exp(-n p_i g_k)), as if classes did not "
        "compete."
    )

    def test(self, context: LawContext) -> Outcome:
        """Measures the generation of the first extinction."""
        n, p = 1000, np.array([0.6, 0.3, 0.06, 0.03, 0.01])
        real = labels_of(*(n * p).round().astype(int).tolist())

        def run(seed: Seed) -> float:
            # Waiting longer would change nothing: the probability of 600 is below 1e-4.
            alive = _classes_alive(context, real, seed, 600)
            return float(next((g for g, classes in enumerate(alive, 1) if classes < 5), 600))

        first = np.array(context.replicate(4000, run, "first"))
        name = "mean generation of the first extinction, n = 1000, p = .6 .3 .06 .03 .01"
        mean = compare(name, first, theory.first_extinction_mean(n, p), "35.5 ± 0.9")
        k = np.arange(0, 121, 6)
        law = [theory.first_extinction(n, p, int(each)) for each in k]
        curve = Curve.of("all alive", k, law, (first[:, None] > k).astype(np.float64))
        title = "Chance that all five classes are alive"
        return Outcome([mean], [Plot(title, "generation", [curve])])


def _alive(context: LawContext, real: Tensor, generations: int, seed: Seed) -> Array:
    """1 for each class that has a sample in a generation, else 0: float64[G, K]."""
    classes = len(real.unique())
    replaced = lineage(context.parts.replace, context.parts.resample, real, seed, generations)
    return np.stack([counts(g.samples, classes) > 0 for g in replaced]).astype(np.float64)


def _classes_alive(
    context: LawContext, real: Tensor, seed: Seed, generations: int
) -> Iterator[int]:
    """Number of classes among the samples of each generation."""
    replaced = lineage(context.parts.replace, context.parts.resample, real, seed, generations)
    return (len(generation.samples.unique()) for generation in replaced)


class Drift(laws.Law):
    """Shares keep their mean, heterozygosity falls by 1 - 1/n, and one class is left in the end.

    In some lineages every real image is a class of its own: the shares of any set of founders can
    then be read off one lineage.
    """

    id = "T5"
    title = "Drift"
    source = (
        "Wright 1931: shares keep their mean, E[H_t] = H_0 (1 - 1/n)^t, and a single copy is lost "
        "in one generation with probability (1 - 1/n)^n. Kimura & Ohta 1969: a class of frequency "
        "p is lost or alone after -2n (p ln p + q ln q) generations; the theory here is the exact "
        "chain."
    )

    def test(self, context: LawContext) -> Outcome:
        """Compares shares, heterozygosity and absorption times."""
        outcomes = [self._shares(context), self._heterozygosity(context), self._absorption(context)]
        return laws.join(*outcomes)

    def _shares(self, context: LawContext) -> Outcome:
        real, last = labels_of(80, 60, 40, 20), 30

        def run(seed: Seed) -> list[Array]:
            generations = lineage(context.parts.replace, context.parts.resample, real, seed, last)
            return [counts(generation.samples, 4) / 200 for generation in generations]

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

    def _heterozygosity(self, context: LawContext) -> Outcome:
        n, last = 200, 100
        real = torch.arange(n, dtype=torch.int16)

        def run(seed: Seed) -> tuple[list[float], float]:
            generations = [
                generation.samples
                for generation in lineage(
                    context.parts.replace, context.parts.resample, real, seed, last
                )
            ]
            return list(map(heterozygosity, generations)), 1 - len(generations[0].unique()) / n

        seen, lost = zip(*context.replicate(150, run, "founders"), strict=True)
        relative = np.array(seen) / heterozygosity(real)
        measurements = [
            compare(
                f"H_t / H_0, t = {t}, n = {n}", relative[:, t - 1], heterozygosity_replace(1, n, t)
            )
            for t in (10, last)
        ]
        single = "a single copy is lost in one generation, n = 200"
        measurements.append(compare(single, lost, lost_in_one_generation(n)))
        t = np.arange(1, last + 1)[4::5]
        theory = [heterozygosity_replace(1, n, int(each)) for each in t]
        curve = Curve.of("replace", t, theory, relative[:, 4::5])
        return Outcome(measurements, [Plot("Heterozygosity over its start", "generation", [curve])])

    def _absorption(self, context: LawContext) -> Outcome:
        """Times to absorption of m founders, averaged over disjoint sets of a lineage."""
        n, sizes = 30, (3, 15)
        real = torch.arange(n, dtype=torch.int16)

        def run(seed: Seed) -> dict[int, float]:
            since = {m: np.zeros(n // m) for m in sizes}
            # More than one of 30 founders is left after 1,000 generations with probability 1e-14.
            for generation in lineage(
                context.parts.replace, context.parts.resample, real, seed, 1000
            ):
                copies = counts(generation.samples, n)
                for m, waited in since.items():
                    together = copies.reshape(-1, m).sum(axis=1)
                    waited += (together > 0) & (together < n)
                if copies.max() == n:
                    break
            return {m: float(waited.mean()) + 1 for m, waited in since.items()}

        times = context.replicate(400, run, "absorption")
        return Outcome(
            [
                compare(
                    f"generations until a class of {m} of {n} is lost or alone",
                    [each[m] for each in times],
                    absorption_time_exact(n, m),
                    f"{absorption_time(n, m / n):.1f}, the diffusion",
                )
                for m in sizes
            ]
        )


class EffectiveSize(laws.Law):
    """Two samples of class counts, t generations apart, give back the number of images."""

    id = "N_e"
    title = "Effective population size"
    source = (
        "Jorde & Ryman 2007, for haploids: N_e = t / F', with F' the change of shares that "
        "sampling does not explain."
    )

    def test(self, context: LawContext) -> Outcome:
        """Estimates n where it is known."""
        n, apart, classes = 500, (5, 10, 20), 50
        real, resample = labels_of(*[10] * classes), context.parts.resample

        def sampled(labels: torch.Tensor, seed: Seed) -> Array:
            return counts(fit_and_sample(resample, LabelsOnly(labels), n, seed).labels, classes)

        def run(seed: Seed) -> list[float]:
            before = sampled(real, seed / "before")
            generations = list(lineage(context.parts.replace, resample, real, seed, apart[-1]))
            sizes = [
                effective_size(
                    before, sampled(generations[t - 1].samples, seed / "after" / t), t
                ).value
                for t in apart
            ]
            return [0.0 if size is None else 1 / size for size in sizes]

        drift = np.array(context.replicate(300, run, "effective"))
        # The unbiased estimate is that of 1/N_e; the heterozygosity lost in t generations is not
        # t/n but 1 - (1 - 1/n)^t, which the estimator's t/F' does not allow for.
        theory = [n / t * (1 - heterozygosity_replace(1, n, t)) for t in apart]
        measurements = [
            compare(
                f"n / N_e from samples {t} generations apart, n = {n}",
                n * drift[:, column],
                theory[column],
                "500 / 499.6" if t == 5 else None,
            )
            for column, t in enumerate(apart)
        ]
        curve = Curve.of("n / N_e", apart, theory, n * drift)
        return Outcome(measurements, [Plot("n over its estimate", "generations apart", [curve])])
