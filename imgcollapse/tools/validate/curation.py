"""T9: what a preference does to the shares of classes when each model learns what was kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import rel_entr

from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages
from imgcollapse.core.seeds import Seed
from imgcollapse.theory import preference_divergence_bound, preference_gain, preference_step
from imgcollapse.tools.validate.laws import (
    Array,
    Curve,
    LawContext,
    Measurement,
    Outcome,
    Plot,
    compare,
)
from imgcollapse.tools.validate.lineages import NO_RESERVE, classes_of, counts, resampled

REWARDS = np.array([0.0, 0.5, 1.0])
REAL = classes_of(1000, 600, 400)
MANY = 128
"""The K at which the limit of large K is looked for."""


class Preference:
    """The best of K by a Bradley-Terry choice: shares follow exp(reward) as K grows."""

    id = "T9"
    title = "Curation by preference"
    threads = 1
    source = (
        "Ferbach et al. 2024: keep one of K samples with probability proportional to exp(r). As K "
        "grows, p_{t+1} is proportional to p_t exp(r); each step gains at least ((K-1)/K) "
        "Var[e^r]/max e^r in E[e^r]; mixed with real data at lambda < 1/(K-1), KL(p_t || p_real) "
        "<= -ln(1 - lambda (K-1))."
    )

    def test(self, trial: LawContext, say: Callable[[str], Any]) -> Outcome:
        """Choose once among few and among many, then again and again."""
        start = counts(REAL, 3) / len(REAL)
        once, plot = self._once(trial, start)
        return Outcome([*once, *self._again(trial, start), *self._mixed(trial, start)], [plot])

    def _once(self, trial: LawContext, start: Array) -> tuple[list[Measurement], Plot]:
        findings, seen, expected = [], [], []
        sizes = (2, 4, 16)
        for k in sizes:
            kept = np.stack(
                [
                    _kept(trial, REAL, k, trial.seed / "once" / k / i)
                    for i in range(trial.replicates(60))
                ]
            )
            theory = best_of(start, REWARDS, k)
            what = f"share of the class of reward 1 after one best of {k}, 20% before"
            findings.append(compare(what, kept[:, 2], theory[2]))
            value = np.exp(REWARDS)
            findings.append(
                compare(
                    f"gain in E[exp(r)], best of {k}, against its bound",
                    kept @ value - start @ value,
                    (preference_gain(start, REWARDS, k), math.inf),
                )
            )
            seen.append(kept)
            expected.append(theory)
        replicates, theories = np.stack(seen, axis=1), np.stack(expected)
        curves = [
            Curve.of(f"reward {r:g}", sizes, theories[:, c], replicates[:, :, c])
            for c, r in enumerate(REWARDS)
        ]
        return findings, Plot("Share after one best of K", "K", curves, log_x=True)

    def _again(self, trial: LawContext, start: Array) -> list[Measurement]:
        """Three generations of best of many, against p_t proportional to p_0 exp(t r)."""
        ends = []
        for i in range(trial.replicates(20)):
            labels = REAL
            for t in range(3):
                seed = trial.seed / "again" / i / t
                kept = _kept(trial, labels, MANY, seed)
                labels = _labels(kept, len(REAL))
            ends.append(counts(labels, 3) / len(REAL))
        exact, limit = start, start
        for _ in range(3):
            exact, limit = best_of(exact, REWARDS, MANY), preference_step(limit, REWARDS)
        what = f"share of the class of reward 1 after three of best of {MANY}"
        return [compare(what, np.array(ends)[:, 2], exact[2], f"{limit[2]:.4f}, K without end")]

    def _mixed(self, trial: LawContext, start: Array) -> list[Measurement]:
        """Ten generations of real data and curated samples."""
        k, ratio, last = 2, 0.5, 10
        bound = preference_divergence_bound(ratio, k)
        assert bound is not None  # 0.5 is below 1/(K-1)
        regime = trial.parts.real_plus_synthetic(ratio=ratio)
        ends = []
        for i in range(trial.replicates(20)):
            seed = trial.seed / "mixed" / i
            archive = LineageImages(LabelsOnly(REAL), NO_RESERVE)
            for g in range(1, last + 1):
                training = archive.gather(regime.select(archive, g, seed / g / "select"))
                kept = _kept(trial, training.labels, k, seed / g)
                # Curated labels lie in no order, as samples do: the regime takes the first of them.
                order = torch.randperm(len(REAL), generator=(seed / g / "order").torch())
                archive.append(LabelsOnly(_labels(kept, len(REAL))[order]))
            chosen = regime.select(archive, last + 1, seed / "last")
            ends.append(counts(archive.labels(chosen), 3) / len(chosen))
        settled = start
        for _ in range(last):
            settled = (start + ratio * best_of(settled, REWARDS, k)) / (1 + ratio)
        what = f"share of the class of reward 1, real data + {ratio} x best of {k}, 20% before"
        divergence = f"its KL to the real shares in nats, lambda = {ratio}"
        seen = np.array(ends)
        return [
            compare(what, seen[:, 2], settled[2]),
            compare(divergence, rel_entr(seen, start).sum(axis=1), (0.0, bound)),
        ]


def best_of(p: Array, r: Array, k: int) -> Array:
    """Exact shares after one best of K from shares p of three classes with rewards r: float64[3].

    p'_c = K p_c E[e^{r_c} / (e^{r_c} + S)], S the sum of e^r over K - 1 multinomial rivals.
    """
    first, second = np.meshgrid(np.arange(k), np.arange(k), indexing="ij")
    rivals = np.stack([first, second, k - 1 - first - second], axis=-1)
    rivals = rivals[rivals[..., 2] >= 0]
    factorials = np.array([math.lgamma(i + 1) for i in range(k)])
    log_chance = factorials[-1] - factorials[rivals].sum(axis=1) + rivals @ np.log(p)
    chance, against = np.exp(log_chance), rivals @ np.exp(r)
    return np.array([k * p[c] * (chance @ (e / (e + against))) for c, e in enumerate(np.exp(r))])


def _kept(trial: LawContext, training: torch.Tensor, k: int, seed: Seed) -> Array:
    """Shares of what is kept of K samples for each real image: float64[3]."""
    n = len(REAL)
    drawn = resampled(trial.parts.resample, LabelsOnly(training), n * k, seed).labels.view(n, k)
    won = trial.parts.choose(REWARDS[drawn.long().numpy()], seed / "choose")
    return counts(drawn[torch.arange(n), torch.from_numpy(won)], 3) / n


def _labels(shares: Array, n: int) -> torch.Tensor:
    return classes_of(*(shares * n).round().astype(int).tolist())
