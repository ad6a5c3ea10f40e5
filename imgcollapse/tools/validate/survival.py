"""T3 and T4: how long a rare class lives when generations replace one another.

A class of m copies among n images has Poisson(m) copies in the next n, to 1/n. Every lineage holds
many such classes, so that one of them says much; standard errors are taken between lineages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from imgcollapse.generators.base import Generator
from imgcollapse.regimes import Regime
from imgcollapse.theory import (
    classes_lost,
    first_extinction,
    first_extinction_mean,
    median_loss,
    survival,
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
from imgcollapse.tools.validate.lineages import Born, classes_of, counts, descend, history


class Survival:
    """A rare class lives k generations with probability 1 - exp(-n p g_k)."""

    id = "T3"
    title = "Survival of a rare class"
    threads = 1
    source = (
        "Suresh et al. 2024: g_1 = 1, g_{k+1} = 1 - exp(-g_k); a class of frequency p among n "
        "images is alive after k generations with probability 1 - exp(-n p g_k), so half of the "
        "classes of m copies are gone after about 2.9 m generations."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Count the classes that are still there."""
        findings, rare = self._alive(trial)
        medians, by_copies = self._medians(trial)
        return Outcome([*findings, *medians, self._lost(trial)], [rare, by_copies])

    def _alive(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, copies, last = 60_000, 30, 100
        real = classes_of(*[copies] * (n // copies))
        lineages = [
            _alive_after(history(*_parts(trial), real, last, trial.seed / "survival" / i), 2000)
            for i in range(trial.replicates(24))
        ]
        alive = np.stack(lineages).mean(axis=2)
        k = np.arange(1, last + 1)
        theory = [float(survival(n, copies / n, each)) for each in k.tolist()]
        what = "alive after {} generations, n = 60,000, p = 0.0005"
        findings = [
            compare(what.format(10), alive[:, 9], theory[9]),
            compare(what.format(100), alive[:, 99], theory[99], "0.4436"),
        ]
        curve = Curve.of("30 copies", k[4::5], theory[4::5], alive[:, 4::5])
        return findings, Plot("Share of classes alive", "generation", [curve])

    def _medians(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, sizes = 20_000, (5, 10, 20, 50, 100)
        per_size = n // len(sizes)
        real = classes_of(*(m for m in sizes for _ in range(per_size // m)))
        classes, last = len(real.unique()), median_loss(sizes[-1])
        copies = counts(real, classes)
        lineages = [
            _alive_after(history(*_parts(trial), real, last, trial.seed / "median" / i), classes)
            for i in range(trial.replicates(16))
        ]
        alive = np.stack(lineages)
        findings, curves = [], []
        for m in sizes:
            share = alive[:, :, copies == m].mean(axis=2)
            k = median_loss(m)
            findings.append(
                compare(
                    f"alive at the median generation of loss, {k}, of {m} copies",
                    share[:, k - 1],
                    float(survival(n, m / n, k)),
                    "0.5",
                )
            )
            x = np.unique(np.geomspace(1, last, 14).round().astype(int))
            theory = [float(survival(n, m / n, each)) for each in x.tolist()]
            curves.append(Curve.of(f"{m} copies", x, theory, share[:, x - 1]))
        return findings, Plot("Share alive, by copies at the start", "generation", curves, True)

    def _lost(self, trial: LawContext) -> Measurement:
        k = 50
        tail = np.geomspace(1, 40, 100).round().astype(int).tolist()
        n = 5_000
        real = classes_of(*tail, n - sum(tail))
        p = counts(real, 101) / n
        gone = [
            101
            - len(history(*_parts(trial), real, k, trial.seed / "lost" / i)[-1].samples.unique())
            for i in range(trial.replicates(100))
        ]
        what = f"of 101 long-tailed classes lost after {k} generations, n = 5,000"
        return compare(what, gone, classes_lost(n, p, k))


class FirstExtinction:
    """All classes are alive after k generations with probability prod_i (1 - exp(-n p_i g_k))."""

    id = "T4"
    title = "First extinction"
    threads = 1
    source = (
        "Suresh et al. 2024: Pr(T > k) = prod_i (1 - exp(-n p_i g_k)), as if classes did not "
        "compete."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Wait for the first class to go missing."""
        n, p = 1000, np.array([0.6, 0.3, 0.06, 0.03, 0.01])
        real = classes_of(*(n * p).round().astype(int).tolist())
        waited = np.array([self._wait(trial, real, i) for i in range(trial.replicates(4000))])
        theory = first_extinction_mean(n, p)
        what = "mean generation of the first extinction, n = 1000, p = .6 .3 .06 .03 .01"
        k = np.arange(0, 121, 6)
        curve = Curve.of(
            "all alive",
            k,
            [first_extinction(n, p, int(each)) for each in k],
            (waited[:, None] > k).astype(np.float64),
        )
        plot = Plot("Chance that all five classes are alive", "generation", [curve])
        return Outcome([compare(what, waited, theory, "35.5 ± 0.9")], [plot])

    def _wait(self, trial: LawContext, real: Tensor, i: int) -> float:
        lineage = descend(*_parts(trial), real, trial.seed / "first" / i)
        # Waiting without end would tell nothing more: the chance of 600 is below 1e-4.
        few = (g for g, born in enumerate(lineage, 1) if len(born.samples.unique()) < 5 or g == 600)
        return float(next(few))


def _parts(trial: LawContext) -> tuple[Regime, Generator]:
    return trial.parts.replace, trial.parts.resample


def _alive_after(lineage: Sequence[Born], classes: int) -> Array:
    """Whether each class has a sample in each generation: float64[G, K]."""
    return np.stack([counts(born.samples, classes) > 0 for born in lineage]).astype(np.float64)
