"""T3 and T4: survival of a rare class when generations replace one another.

A class of m copies among n images has Poisson(m) copies in the next n, to 1/n. Every lineage holds
many such classes; standard errors are taken between lineages.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from imgcollapse import theory
from imgcollapse.core.seeds import Seed
from imgcollapse.tools.validate import laws
from imgcollapse.tools.validate.laws import Array, Curve, LawContext, Outcome, Plot, compare
from imgcollapse.tools.validate.lineages import counts, labels_of, lineage


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
