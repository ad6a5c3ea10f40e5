"""T5 and N_e: what drift does to the shares of classes that no one favours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imgcollapse.core.images import LabelsOnly
from imgcollapse.drift import absorption_time_exact, effective_size
from imgcollapse.theory import absorption_time, heterozygosity_replace, lost_in_one_generation
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import (
    classes_of,
    counts,
    descend,
    heterozygosity,
    history,
    resampled,
)


class Drift:
    """Shares wander without direction, heterozygosity falls by 1 - 1/n, and in the end one is left.

    In some lineages every real image is a class of its own: what happens to any set of founders can
    then be read off one lineage.
    """

    id = "T5"
    title = "Drift"
    threads = 1
    source = (
        "Wright 1931: shares keep their mean, E[H_t] = H_0 (1 - 1/n)^t, and a single copy is lost "
        "in one generation with probability (1 - 1/n)^n. Kimura & Ohta 1969: a class of frequency "
        "p is lost or alone after -2n (p ln p + q ln q) generations; the theory here is the exact "
        "chain."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Follow founders."""
        shares, mean = self._shares(trial)
        diversity, fall = self._heterozygosity(trial)
        return Outcome([*shares, *diversity, *self._absorption(trial)], [mean, fall])

    def _shares(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        real, last = classes_of(80, 60, 40, 20), 30
        courses = []
        for i in range(trial.replicates(400)):
            lineage = _descend(trial, real, trial.seed / "shares" / i)
            courses.append([counts(born.samples, 4) / 200 for born in islice(lineage, last)])
        seen = np.array(courses)
        start = counts(real, 4) / 200
        what = "mean share of a class of {:.0%} after 30 generations, n = 200"
        findings = [compare(what.format(p), seen[:, -1, k], p) for k, p in enumerate(start)]
        x = np.arange(1, last + 1)[4::5]
        curves = [
            Curve.of(f"class of {p:.0%}", x, np.full(len(x), p), seen[:, 4::5, k])
            for k, p in enumerate(start)
        ]
        return findings, Plot("Mean share", "generation", curves)

    def _heterozygosity(self, trial: LawContext) -> tuple[list[Measurement], Plot]:
        n, last = 200, 100
        real = torch.arange(n, dtype=torch.int16)
        courses, lost = [], []
        for i in range(trial.replicates(150)):
            lineage = history(
                trial.parts.replace, trial.parts.resample, real, last, trial.seed / "founders" / i
            )
            courses.append([heterozygosity(born.samples) for born in lineage])
            lost.append(1 - len(lineage[0].samples.unique()) / n)
        relative = np.array(courses) / heterozygosity(real)
        findings = [
            compare(
                f"H_t / H_0, t = {t}, n = {n}", relative[:, t - 1], heterozygosity_replace(1, n, t)
            )
            for t in (10, last)
        ]
        single = "a single copy is lost in one generation, n = 200"
        findings.append(compare(single, lost, lost_in_one_generation(n)))
        t = np.arange(1, last + 1)[4::5]
        theory = [heterozygosity_replace(1, n, int(each)) for each in t]
        curve = Curve.of("replace", t, theory, relative[:, 4::5])
        return findings, Plot("Heterozygosity over its start", "generation", [curve])

    def _absorption(self, trial: LawContext) -> list[Measurement]:
        n = 30
        real = torch.arange(n, dtype=torch.int16)
        waited = [
            self._absorbed(trial, real, (3, 15), trial.seed / "absorption" / i)
            for i in range(trial.replicates(400))
        ]
        return [
            compare(
                f"generations until a class of {m} of {n} is lost or alone",
                [each[m] for each in waited],
                absorption_time_exact(n, m),
                f"{absorption_time(n, m / n):.1f}, the diffusion",
            )
            for m in (3, 15)
        ]

    def _absorbed(
        self, trial: LawContext, real: Tensor, sizes: tuple[int, ...], seed: Any
    ) -> dict[int, float]:
        """Mean time to absorption over the disjoint sets of m founders, for each m."""
        n = len(real)
        since = {m: np.zeros(n // m) for m in sizes}
        # A lineage of 30 has more than one founder left after 1,000 generations with chance 1e-14.
        for born in islice(_descend(trial, real, seed), 1000):
            copies = counts(born.samples, n)
            for m, waited in since.items():
                together = copies.reshape(-1, m).sum(axis=1)
                waited += (together > 0) & (together < n)
            if copies.max() == n:
                break
        return {m: float(waited.mean()) + 1 for m, waited in since.items()}


class EffectiveSize:
    """Two samples of class counts, t generations apart, give back the number of images."""

    id = "N_e"
    title = "Effective population size"
    threads = 1
    source = (
        "Jorde & Ryman 2007, for haploids: N_e = t / F', with F' the change of shares that "
        "sampling does not explain."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Estimate n where it is known."""
        n, apart = 500, (5, 10, 20)
        drift = np.array(
            [
                self._inverse_sizes(trial, apart, trial.seed / "effective" / i)
                for i in range(trial.replicates(300))
            ]
        )
        # What adds up without bias is 1/N_e; heterozygosity's share lost in t generations is not
        # t/n but 1 - (1 - 1/n)^t, which the estimator's t/F' takes no account of.
        theory = [n / t * (1 - heterozygosity_replace(1, n, t)) for t in apart]
        findings = [
            compare(
                f"n / N_e from samples {t} generations apart, n = {n}",
                n * drift[:, column],
                theory[column],
                "500 / 499.6" if t == 5 else None,
            )
            for column, t in enumerate(apart)
        ]
        curve = Curve.of("n / N_e", apart, theory, n * drift)
        return Outcome(findings, [Plot("n over its estimate", "generations apart", [curve])])

    def _inverse_sizes(self, trial: LawContext, apart: tuple[int, ...], seed: Any) -> Array:
        real, classes = classes_of(*[10] * 50), 50
        resample = trial.parts.resample
        before = counts(resampled(resample, LabelsOnly(real), 500, seed / "before").labels, classes)
        lineage = list(islice(_descend(trial, real, seed), apart[-1]))
        found = []
        for t in apart:
            later = LabelsOnly(lineage[t - 1].samples)
            after = counts(resampled(resample, later, 500, seed / "after" / t).labels, classes)
            found.append(effective_size(before, after, t).value)
        return np.array([0.0 if size is None else 1 / size for size in found])


def _descend(trial: LawContext, real: Tensor, seed: Any) -> Any:
    return descend(trial.parts.replace, trial.parts.resample, real, seed)
