"""T5 and N_e: drift of class shares, and the effective population size estimated from it."""

from __future__ import annotations

import numpy as np
import torch

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
