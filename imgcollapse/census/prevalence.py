"""Prevalence: class frequencies of samples, corrected for the oracle's errors.

An oracle that is right nine times of ten predicts every class somewhere, so its raw count of a lost
class is not 0. Expectation-maximization over its calibrated probabilities corrects for that; the
interval allows for the sampling of the images and for the oracle's errors, as far as held-out
images show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from imgcollapse.core.images import UNKNOWN

Array = NDArray[np.float64]

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
TOLERANCE = 1e-9
Z_ONE_SIDED = NormalDist().inv_cdf(CONFIDENCE)


@dataclass(frozen=True)
class HeldOut:
    """Predictions on M real images that the oracle was not trained on, balanced over K classes.

    Attributes:
        labels: int16[M], their true classes.
        counted: int16[M], the most probable class, or `UNKNOWN` where it is unrecognized.
        probabilities: float32[M, K], calibrated for classes that are equally common.
    """

    labels: Tensor
    counted: Tensor
    probabilities: Tensor

    @cached_property
    def sizes(self) -> Array:
        """Images of each class: float64[K]."""
        return np.bincount(self.labels.numpy(), minlength=self.probabilities.shape[1]).astype(float)

    @cached_property
    def accepted(self) -> tuple[NDArray[np.int64], Array]:
        """Classes int64[A] and probabilities float64[A, K] of the recognized ones."""
        known = self.counted.numpy() != UNKNOWN
        labels, probabilities = self.labels.numpy(), self.probabilities.double().numpy()
        return labels[known].astype(np.int64), probabilities[known]

    @cached_property
    def acceptance(self) -> Array:
        """Share of each class that is recognized, never 0 or 1: float64[K]."""
        kept = np.bincount(self.accepted[0], minlength=len(self.sizes))
        return (kept + 0.5) / (self.sizes + 1)

    def moments(self, responses: Array) -> tuple[Array, Array]:
        """Means and second moments of the recognized images of each class: float64[K, K] both.

        No error among M images does not mean that the error rate is 0: each class counts as if it
        had half an image more, one that looks like a random other class.

        Args:
            responses: float64[A, K] of the recognized images.

        Returns:
            Row j is the images of class j, column k the response to class k.
        """
        labels, classes = self.accepted[0], len(self.sizes)
        is_of = np.zeros((classes, len(labels)))
        is_of[labels, np.arange(len(labels))] = 1
        number = is_of.sum(1, keepdims=True)

        def mean(values: Array) -> Array:
            total = is_of @ values
            its_own = np.diag(total) / np.maximum(number[:, 0], 1)
            mistaken = np.tile(its_own, (classes, 1)) / (2 * max(classes - 1, 1))
            np.fill_diagonal(mistaken, 0)
            return (total + mistaken) / (number + 0.5)

        return mean(responses), mean(responses**2)


@dataclass(frozen=True)
class Prevalence:
    """Class shares of the images that N recognized samples are drawn from.

    Attributes:
        frequency: float64[K], summing to 1.
        low: float64[K], lower end of the 95% interval.
        high: float64[K], upper end.
        adjusted: float64[K], the adjusted count: a cross-check from predicted classes alone.
        detection_limit: float64[K], the share at which a class is distinguished from an absent one
            in 95% of cases.
        noise: float64[K], the part of the frequency's variance that the oracle's errors cause.
    """

    frequency: Array
    low: Array
    high: Array
    adjusted: Array
    detection_limit: Array
    noise: Array


def prevalence(probabilities: Tensor, counted: Tensor, held_out: HeldOut) -> Prevalence:
    """Estimates class frequencies.

    Args:
        probabilities: float32[N, K] of the recognized samples, N >= 1, calibrated for classes that
            are equally common.
        counted: int16[N], their most probable classes.
        held_out: the oracle's predictions on held-out images.
    """
    p, n = probabilities.double().numpy(), len(probabilities)
    seen = expectation_maximization(p)
    seen = np.where(seen > TOLERANCE, seen, 0)  # shares converging to 0
    frequency = _normalized(seen / held_out.acceptance)
    variance = _variance(p, seen, held_out)
    # No share varies by more than 1/4, whatever an oracle of a few held-out images makes possible.
    noise = np.clip(variance - frequency * (1 - frequency) / n, 0, 0.25)
    low, high = score_interval(frequency, n, noise)
    return Prevalence(
        frequency,
        low,
        high,
        adjusted_count(counted, held_out),
        _detection_limit(seen, n, held_out),
        noise,
    )


def expectation_maximization(
    probabilities: Array, tolerance: float = TOLERANCE, iterations: int = 10_000
) -> Array:
    """Maximum likelihood class shares by EM: probabilities float64[N, K] => float64[K].

    Saerens et al. 2002, doi:10.1162/089976602753284446, equation 2.8, from equal shares until no
    share moves by more than `tolerance`. The probabilities are calibrated for equal shares.
    """
    shares = np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    for _ in range(iterations):
        total = probabilities @ shares
        # An image that no remaining class explains carries no information.
        weights = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
        moved = _normalized(shares * (weights @ probabilities))
        if np.abs(moved - shares).max() < tolerance:
            return moved
        shares = moved
    return shares


def adjusted_count(counted: Tensor, held_out: HeldOut) -> Array:
    """Class shares from predicted classes and the held-out confusion: int16[N] => float64[K].

    Solves C^T p = q with C the held-out confusion (Forman 2008, doi:10.1007/s10618-008-0097-y);
    negative shares are set to 0, and the acceptance of each class is allowed for.
    """
    classes = len(held_out.sizes)
    named = held_out.counted.numpy()
    confusion = np.zeros((classes, classes))
    there = named != UNKNOWN
    np.add.at(confusion, (held_out.labels.numpy()[there], named[there]), 1)
    rates = confusion / np.maximum(held_out.sizes, 1)[:, None]
    q = np.bincount(counted.numpy(), minlength=classes) / max(len(counted), 1)
    return _normalized(np.linalg.lstsq(rates.T, q, rcond=None)[0].clip(min=0))


def score_interval(frequency: Array, n: int | Array, noise: Array) -> tuple[Array, Array]:
    """The 95% interval of shares: all v with (frequency - v)^2 <= z^2 [v (1 - v) / n + noise].

    With no noise it is Wilson's score interval (1927, doi:10.1080/01621459.1927.10502953), and
    `core.estimate.wilson_interval` up to rounding; as the noise grows, the normal interval of an
    estimate with that variance.
    """
    square = Z * Z / n
    center = (frequency + square / 2) / (1 + square)
    # The square's constant term is frequency^2 - z^2 noise.
    reach = np.sqrt(np.maximum(center**2 - (frequency**2 - Z * Z * noise) / (1 + square), 0))
    low, high = (center - reach).clip(0, 1), (center + reach).clip(0, 1)
    # Rounding must not push an end past the estimate.
    return np.minimum(low, frequency), np.maximum(high, frequency)


def _variance(p: Array, seen: Array, held_out: HeldOut) -> Array:
    """Variance of the corrected shares: float64[K].

    The response r of an image is its posterior under the estimated shares, the efficient score.
    Were the shares p_k, its mean would be sum_k p_k m_k, with m_k its mean over images of class k:
    so an error in the mean response is one of m^-1 times it in the shares. The mean errs by the
    draw of N samples and, as m_k comes from M_k held-out images, by theirs.
    """
    n, classes = p.shape
    labels, theirs = held_out.accepted
    prior = _normalized(seen + 0.5 / n)
    drawn, known = _responses(p, prior), _responses(theirs, prior)
    mean, square = held_out.moments(known)
    kept = np.bincount(labels, minlength=classes) + 0.5
    covariance = np.cov(drawn.T, bias=True).reshape(classes, classes) / n
    for k in range(classes):
        rows = known[labels == k]
        spread = np.cov(rows.T, bias=True) if len(rows) else np.zeros((classes, classes))
        # Add what only the extra half image adds to the second moment.
        unseen = np.maximum(square[k] - (rows**2).sum(0) / kept[k], 0)
        covariance += seen[k] ** 2 / kept[k] * (spread + np.diag(unseen))
        covariance += seen[k] / n * np.diag(unseen)
    inverse = np.linalg.pinv(mean.T)
    covariance = inverse @ covariance @ inverse.T
    # From shares among the recognized to shares of the classes, whose acceptance differs.
    weight = 1 / held_out.acceptance
    total = seen @ weight
    share = seen * weight / total
    slope = (np.diag(weight) - np.outer(share, weight)) / total
    of_weight = (np.diag(share) - np.outer(share, share)) ** 2
    unsure = (1 - held_out.acceptance) / held_out.acceptance / np.maximum(held_out.sizes, 1)
    return np.diag(slope @ covariance @ slope.T) + of_weight @ unsure


def _detection_limit(seen: Array, n: int, held_out: HeldOut) -> Array:
    """Currie's detection limit L_D = z^2/n + 2 z sd_0, one-sided 95% both ways: float64[K].

    Currie 1968, doi:10.1021/ac60259a007; sd_0 is that of the estimate where the class is absent.
    """
    classes = len(seen)
    limits = np.empty(classes)
    for k in range(classes):
        prior = seen.copy()
        prior[k] = min(prior[k], 1 / n)
        prior = _normalized(prior + 0.5 / n)
        moments = held_out.moments(_responses(held_out.accepted[1], prior))
        mean, square = (moment[:, k] for moment in moments)
        others = np.delete(np.arange(classes), k)
        share = _normalized(prior[others]) if classes > 1 else prior[others]
        by_draw = share @ square[others] / n
        spread = np.maximum(square[others] - mean[others] ** 2, 0)
        by_record = (share**2 / np.maximum(held_out.sizes[others], 1)) @ spread
        deviation = np.sqrt(by_draw + by_record) / max(mean[k], np.finfo(float).tiny)
        limits[k] = Z_ONE_SIDED**2 / n + 2 * Z_ONE_SIDED * deviation
    return limits.clip(max=1)


def _responses(probabilities: Array, prior: Array) -> Array:
    weighted = probabilities * prior
    return weighted / np.maximum(weighted.sum(1, keepdims=True), np.finfo(float).tiny)


def _normalized(values: Array) -> Array:
    return values / max(values.sum(), np.finfo(float).tiny)
