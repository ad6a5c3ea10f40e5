"""T9 and T10: the effect of a preference, and of a detector of synthetic images, on shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from scipy.special import rel_entr
from torch import Tensor

from imgcollapse import theory
from imgcollapse.core.images import LabelsOnly
from imgcollapse.core.lineage_images import LineageImages, training_sets
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import curate
from imgcollapse.curation.base import FilterInput
from imgcollapse.tools.validate.laws import Array, Curve, Law, LawContext, Outcome, Plot, compare
from imgcollapse.tools.validate.lineages import NO_RESERVE, counts, fit_and_sample, labels_of

REWARDS = np.array([0.0, 0.5, 1.0])
REAL = labels_of(1000, 600, 400)
"""Real images of T9; a class for each reward."""
START = counts(REAL, 3) / len(REAL)
MANY = 128
"""The K at which the limit of large K is compared."""
CLASSES = 10
"""Classes of T10."""


def _once(context: LawContext) -> Outcome:
    """One choice among few."""
    measurements, seen, expected, value = [], [], [], np.exp(REWARDS)
    sizes = (2, 4, 16)
    for k in sizes:
        kept = np.stack(context.replicate(60, partial(_kept, context, REAL, k), "once", k))
        law = best_of(START, REWARDS, k)
        share = f"share of the class of reward 1 after one best of {k}, 20% before"
        gain = f"gain in E[exp(r)], best of {k}, against its bound"
        bound = (theory.preference_gain(START, REWARDS, k), math.inf)
        measurements.append(compare(share, kept[:, 2], law[2]))
        measurements.append(compare(gain, kept @ value - START @ value, bound))
        seen.append(kept)
        expected.append(law)
    replicates, expectations = np.stack(seen, axis=1), np.stack(expected)
    curves = [
        Curve.of(f"reward {r:g}", sizes, expectations[:, c], replicates[:, :, c])
        for c, r in enumerate(REWARDS)
    ]
    return Outcome(measurements, [Plot("Share after one best of K", "K", curves, log_x=True)])


def _again(context: LawContext) -> Outcome:
    """Three generations of best of many, against p_t proportional to p_0 exp(t r)."""

    def run(seed: Seed) -> Array:
        labels = REAL
        for t in range(3):
            labels = _labels(_kept(context, labels, MANY, seed / t))
        return counts(labels, 3) / len(REAL)

    ends = np.array(context.replicate(20, run, "again"))
    exact, limit = START, START
    for _ in range(3):
        exact, limit = best_of(exact, REWARDS, MANY), theory.preference_step(limit, REWARDS)
    name = f"share of the class of reward 1 after three of best of {MANY}"
    return Outcome([compare(name, ends[:, 2], exact[2], f"{limit[2]:.4f}, K without end")])


def _mixed(context: LawContext) -> Outcome:
    """Ten generations of real data and curated samples."""
    k, ratio, last = 2, 0.5, 10
    bound = theory.preference_divergence_bound(ratio, k)
    assert bound is not None  # 0.5 is below 1/(K-1)
    regime = context.parts.real_plus_synthetic(ratio=ratio)

    def run(seed: Seed) -> Array:
        images = LineageImages(LabelsOnly(REAL), NO_RESERVE)
        labels = REAL
        for _, seed_g, chosen in training_sets(regime, images, lambda g: seed / g, last=last + 1):
            labels = images.labels(chosen)
            kept = _labels(_kept(context, labels, k, seed_g))
            # Kept samples are in no order, as a regime expects: it takes the first of them.
            order = torch.randperm(len(REAL), generator=(seed_g / "order").torch())
            images.append(LabelsOnly(kept[order]))
        return counts(labels, 3) / len(labels)

    ends = np.array(context.replicate(20, run, "mixed"))
    settled = START
    for _ in range(last):
        settled = (START + ratio * best_of(settled, REWARDS, k)) / (1 + ratio)
    name = f"share of the class of reward 1, real data + {ratio} x best of {k}, 20% before"
    divergence = f"its KL to the real shares in nats, lambda = {ratio}"
    return Outcome(
        [
            compare(name, ends[:, 2], settled[2]),
            compare(divergence, rel_entr(ends, START).sum(axis=1), (0.0, bound)),
        ]
    )


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


def _kept(context: LawContext, training: Tensor, k: int, seed: Seed) -> Array:
    """Shares of the samples that are kept, one of K for each real image: float64[3]."""
    n, images = len(REAL), LabelsOnly(training)
    drawn = fit_and_sample(context.parts.resample, images, n * k, seed).labels.view(n, k)
    won = context.parts.choose(REWARDS[drawn.long().numpy()], seed / "choose")
    return counts(drawn[torch.arange(n), torch.from_numpy(won)], 3) / n


def _labels(shares: Array) -> Tensor:
    return labels_of(*(shares * len(REAL)).round().astype(int).tolist())


PREFERENCE = Law(
    "T9",
    "Curation by preference",
    "Ferbach et al. 2024: keep one of K samples with probability proportional to exp(r). As K "
    "grows, p_{t+1} is proportional to p_t exp(r); each step gains at least ((K-1)/K) "
    "Var[e^r]/max e^r in E[e^r]; mixed with real data at lambda < 1/(K-1), KL(p_t || p_real) "
    "<= -ln(1 - lambda (K-1)).",
    (_once, _again, _mixed),
)


def _left(context: LawContext) -> Outcome:
    """Real images and samples that are left of those offered together."""
    n, ratio, tpr, fpr = 200, 2, 0.9, 0.05

    def run(seed: Seed) -> tuple[Tensor, Tensor]:
        return next(_detected_sets(context, n, ratio, tpr, fpr, seed))

    sets = context.replicate(200, run, "left")
    real = [len(kept) for kept, _ in sets]
    synthetic = [len(training) - len(kept) for kept, training in sets]
    rates = f"tpr = {tpr}, fpr = {fpr}, n = {n}, lambda = {ratio}"
    return Outcome(
        [
            compare(f"real images in a training set, {rates}", real, (1 - fpr) * n),
            compare(f"samples in it, {rates}", synthetic, ratio * (1 - tpr) * n),
        ]
    )


def _detected_drift(context: LawContext) -> Outcome:
    n, ratio, generations = 200, 2, 24
    measurements, curves = [], []
    for tpr, fpr in ((0.0, 0.0), (0.5, 0.05), (0.9, 0.05), (1.0, 0.0)):
        run = partial(_deviations, context, n, ratio, tpr, fpr, generations)
        seen = np.stack(context.replicate(50, run, "drift", str(tpr)))
        law = n * theory.detection_variance(n, ratio * n, tpr, fpr, generations)
        name = f"n x drift, tpr = {tpr:g}, fpr = {fpr:g}, lambda = {ratio}, n = {n}"
        measurements.append(compare(name, n * seen[:, 8:].mean(axis=1), law[8:].mean()))
        x = np.arange(1, generations + 1)
        curves.append(Curve.of(f"tpr = {tpr:g}, fpr = {fpr:g}", x, law, n * seen))
    return Outcome(measurements, [Plot("n x drift in training sets", "generation", curves)])


def _vanishing(context: LawContext) -> Outcome:
    """Ever more samples for each real image; 2 R x drift goes to 1, or stays below."""
    n, generations, ratios = 40, 60, (1, 4, 16)
    measurements, curves = [], []
    for name, rates in (
        ("no detector", [0.0] * 3),
        ("misses 10%", [0.9] * 3),
        ("misses 1/(2 lambda)", [1 - 0.5 / ratio for ratio in ratios]),
    ):
        seen, expected = [], []
        for ratio, tpr in zip(ratios, rates, strict=True):
            law = theory.detection_variance(n, ratio * n, tpr, 0.0, generations)[30:].mean()
            run = partial(_deviations, context, n, ratio, tpr, 0.0, generations)
            deviations = [x[30:].mean() for x in context.replicate(30, run, name, ratio)]
            expected.append(2 * n * law)
            seen.append(2 * n * np.array(deviations))
        label = f"2n x drift, {name}, lambda = {ratios[-1]}, n = {n}"
        measurements.append(compare(label, seen[-1], expected[-1]))
        curves.append(Curve.of(name, ratios, expected, np.stack(seen, axis=1)))
    title = "2n x drift as the real share 1/(1 + lambda) vanishes"
    return Outcome(measurements, [Plot(title, "lambda", curves, log_x=True)])


def _deviations(
    context: LawContext, n: int, ratio: int, tpr: float, fpr: float, generations: int, seed: Seed
) -> Array:
    """Drift in training sets 1..G over that of one image, sum_k p_k (1 - p_k): float64[G].

    Drift is the squared deviations of class shares from those of the real images that are left,
    summed over classes.
    """
    scale = 1 - 1 / CLASSES
    deviations = [0.0]  # the first training set is the real images that are left
    sets = _detected_sets(context, n, ratio, tpr, fpr, seed)
    for kept, training in islice(sets, generations - 1):
        x, r = (counts(labels, CLASSES) / len(labels) for labels in (training, kept))
        deviations.append(np.square(x - r).sum() / scale)
    return np.array(deviations)


def _detected_sets(
    context: LawContext, n: int, ratio: int, tpr: float, fpr: float, seed: Seed
) -> Iterator[tuple[Tensor, Tensor]]:
    """Labels of the real images left, and of the training set, from the second model on."""
    regime = context.parts.real_plus_synthetic(ratio=ratio)
    detector = (context.parts.detector(tpr=tpr, fpr=fpr),)
    real = (torch.arange(n) % CLASSES).to(torch.int16)
    images = LineageImages(LabelsOnly(real), NO_RESERVE)

    def detect(g: int, seed: Seed) -> None:
        offered = _filter_input(g, images.generations[g].labels)
        images.restrict(g, curate(detector, offered, seed))

    for g, seed_g, chosen in training_sets(regime, images, lambda g: seed / g, detect):
        if g > 1:
            labels = images.labels(chosen)
            yield labels[chosen.generation == 0], labels
        training = images.gather(chosen)
        images.append(fit_and_sample(context.parts.resample, training, ratio * n, seed_g))


def _filter_input(generation: int, labels: Tensor) -> FilterInput:
    """Input of a detector that looks at no image."""
    n, none = len(labels), torch.empty(len(labels), 0)
    return FilterInput(
        generation,
        torch.arange(n, dtype=torch.int32),
        [str(k) for k in range(CLASSES)],
        LabelsOnly(labels),
        counted=labels,
        probabilities=none,
        features=none,
        atypicality=torch.zeros(n, dtype=torch.float64),
        held_out=torch.zeros(0, dtype=torch.float64),
        folder=Path("a detector reads no folder"),
    )


DETECTION = Law(
    "T10",
    "A detector of synthetic images",
    "Kanabar & Gastpar 2026: a perfect detector restores the real sample size; as the real "
    "share vanishes, detection helps only if the rate of misses vanishes too. With n real "
    "images and lambda n samples offered, (1-fpr) n and lambda (1-tpr) n are learned from in "
    "the mean, and drift settles as in T6 with a = R/(R+B), n = R+B: exact over R and B.",
    (_left, _detected_drift, _vanishing),
)
