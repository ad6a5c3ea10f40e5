"""Prevalence: class frequencies of samples, corrected for the oracle's errors.

An oracle that is right nine times of ten predicts every class somewhere, so its raw count of a lost
class is not 0. Held-out images show its mean answer to each class; the frequencies are those that
explain the mean answer to the samples. This is unbiased whatever the oracle's accuracy and however
well it is calibrated, as long as the samples of a class look like real images of it.
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
Z_ONE_SIDED = NormalDist().inv_cdf(CONFIDENCE)
TOLERANCE = 1e-7
FLOOR = 0.02
"""Least prior share of a class, so that no answer depends on a few images alone."""
TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class HeldOut:
    """Predictions on M real images that the oracle was not trained on.

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
        return self.members.sum(1)

    @cached_property
    def members(self) -> Array:
        """1 where an image is of the class: float64[K, M]."""
        classes = np.arange(self.probabilities.shape[1])
        return (self.labels.numpy() == classes[:, None]).astype(float)

    def answers(self, prior: Array) -> Array:
        """Posterior class probabilities, 0 for unrecognized images: float64[M, K]."""
        known = self.counted.numpy() != UNKNOWN
        return known[:, None] * posterior(self.probabilities.double().numpy(), prior)

    def moments(self, values: Array) -> tuple[Array, Array]:
        """Second moments of the images of each class, and variances of their means: float64[K, K].

        No error among M_j images does not mean that the error rate is 0: each class counts as if it
        had half an image more, one that looks like a random other class.

        Args:
            values: float64[M, K]; row j of the result is the images of class j.
        """
        sizes = self.sizes[:, None]
        square, mean = self.members @ values**2, self.members @ values / np.maximum(sizes, 1)
        own = np.diag(square) / np.maximum(self.sizes, 1)
        mistaken = (1 - np.eye(len(own))) * own / (2 * max(len(own) - 1, 1))
        second = (square + mistaken) / (sizes + 0.5)
        return second, np.maximum(second - mean**2, 0) / np.maximum(sizes - 1, 1)


@dataclass(frozen=True)
class Prevalence:
    """Class shares of the images that N recognized samples are drawn from.

    Attributes:
        frequency: float64[K], summing to 1.
        low: float64[K], lower end of the 95% interval; above 0 exactly where the class is detected.
        high: float64[K], upper end.
        adjusted: float64[K], the adjusted count: a cross-check from predicted classes alone.
        detection_limit: float64[K], the share at which a class is detected in 95% of cases.
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

    With r the posterior of an image under the shares that EM finds, m_j its mean over the held-out
    images of class j (0 where they are unrecognized), and q its mean over the samples, the shares p
    solve m^T p ~ q. Any fixed prior gives an unbiased answer; EM's makes it the efficient score.
    Each image moves p by its influence m^-T r, so the variance is a sum over the samples and over
    the held-out images, both as held-out images show it.

    Args:
        probabilities: float32[N, K] of the recognized samples, N >= 1, calibrated for classes that
            are equally common.
        counted: int16[N], their most probable classes.
        held_out: the oracle's predictions on held-out images.
    """
    p, n = probabilities.double().numpy(), len(probabilities)
    solved, mean, influence = _solve(p, np.ones(n), expectation_maximization(p), held_out)
    shares, acceptance = normalized(solved.clip(0)), mean.sum(1)
    accepted = shares @ acceptance
    centered = accepted * (influence - influence.sum(1, keepdims=True) * shares)
    second, of_mean = held_out.moments(centered)
    variance = shares @ second / (accepted * n) + (shares / accepted) ** 2 @ of_mean
    # No share varies by more than 1/4, whatever an oracle of a few held-out images makes possible.
    noise = np.clip(variance - shares * (1 - shares) / n, 0, 0.25)
    absent, limit = _detection(shares, acceptance, n, held_out.moments(influence))
    center = solved.clip(0, 1)
    low, high = score_interval(center, n, np.minimum(absent, 0.25), noise)
    low, high = np.minimum(low, shares), np.maximum(high, shares)
    adjusted = adjusted_count(counted, held_out)
    return Prevalence(shares, low, high, adjusted, limit, np.maximum(noise, absent.clip(max=0.25)))


def measured_shares(
    times: Array, probabilities: Tensor, counted: Tensor, held_out: HeldOut
) -> Array:
    """The frequencies that `prevalence` finds in S samples of the same N images: float64[S, K].

    Args:
        times: float64[S, N], how often each image is in each sample.
        probabilities: float32[N, K].
        counted: int16[N], the most probable class, or `UNKNOWN`, which counts for nothing.
        held_out: the oracle's predictions on held-out images.
    """
    p, known = probabilities.double().numpy(), times * (counted.numpy() != UNKNOWN)
    # Where nothing is recognized, the answers to what there is are better than none.
    times = np.where(known.sum(1, keepdims=True) > 0, known, times)
    # The prior decides how wide an answer is, not which: a coarse one takes a tenth of the time.
    priors = expectation_maximization(p, 1e-3, times=times)
    found = [
        _solve(p[some > 0], some[some > 0], prior, held_out)[0]
        for some, prior in zip(times, priors, strict=True)
    ]
    return normalized(np.stack(found).clip(0))


def _solve(p: Array, times: Array, prior: Array, held_out: HeldOut) -> tuple[Array, Array, Array]:
    """Class shares that sum to 1, some perhaps below 0, of images that are there so many `times`.

    Returns:
        The shares, the mean answer to each class m, and the influence of each held-out image.
    """
    prior = normalized(prior + max(FLOOR, 0.5 / times.sum()))
    answers = held_out.answers(prior)
    mean = held_out.members @ answers / np.maximum(held_out.sizes, 1)[:, None]
    # A class of which no held-out image is recognized is taken to be named rightly.
    mean += np.diag(mean.sum(1) == 0)
    inverse = np.linalg.pinv(mean.T)
    solved = inverse @ (times @ posterior(p, prior) / times.sum())
    return solved / max(solved.sum(), TINY), mean, answers @ inverse.T


def expectation_maximization(
    probabilities: Array,
    tolerance: float = TOLERANCE,
    iterations: int = 10_000,
    times: Array | None = None,
) -> Array:
    """Maximum likelihood class shares by EM: probabilities float64[N, K] => float64[K].

    Saerens et al. 2002, doi:10.1162/089976602753284446, equation 2.8, from equal shares until no
    share moves by more than `tolerance`. The probabilities are calibrated for equal shares. With
    `times`, float64[S, N], of S samples of the images: float64[S, K].
    """
    wanted = np.ones(len(probabilities)) if times is None else times
    classes = probabilities.shape[1]
    shares = np.full((*wanted.shape[:-1], classes), 1 / classes)
    for _ in range(iterations):
        total = shares @ probabilities.T
        # An image that no remaining class explains carries no information.
        weights = np.divide(wanted, total, out=np.zeros_like(total), where=total > 0)
        moved = normalized(shares * (weights @ probabilities))
        if np.abs(moved - shares).max() < tolerance:
            return moved
        shares = moved
    return shares


def adjusted_count(counted: Tensor, held_out: HeldOut) -> Array:
    """Class shares from predicted classes and the held-out confusion: int16[N] => float64[K].

    Solves C^T p = q with C the held-out confusion (Forman 2008, doi:10.1007/s10618-008-0097-y);
    negative shares are set to 0, and the acceptance of each class is allowed for.
    """
    classes = np.arange(len(held_out.sizes))
    named = (held_out.counted.numpy()[:, None] == classes).astype(float)
    rates = held_out.members @ named / np.maximum(held_out.sizes, 1)[:, None]
    q = np.bincount(counted.numpy(), minlength=len(classes)) / max(len(counted), 1)
    return normalized(np.linalg.lstsq(rates.T, q, rcond=None)[0].clip(min=0))


def score_interval(
    frequency: Array, n: int | Array, noise: Array, noise_there: Array | None = None
) -> tuple[Array, Array]:
    """The 95% interval of shares: all v with (frequency - v)^2 <= z^2 [v (1 - v) / n + noise(v)].

    With no noise it is Wilson's score interval (1927, doi:10.1080/01621459.1927.10502953); as the
    noise grows, the normal interval of an estimate with that variance.

    Args:
        frequency: the estimates.
        n: images.
        noise: variance beyond sampling where v is 0.
        noise_there: the same where v is the estimate, linear between them; none takes `noise`.
    """
    square, slope = Z * Z / n, np.zeros_like(frequency)
    if noise_there is not None:
        rise = np.maximum(noise_there - noise, 0)
        slope = np.divide(rise, frequency, out=slope, where=frequency > 1e-9)
    # (1 + square) v^2 - 2 b v + c = 0 at both ends.
    b, c = frequency + (square + Z * Z * slope) / 2, frequency**2 - Z * Z * noise
    reach = np.sqrt(np.maximum(b**2 - (1 + square) * c, 0))
    low, high = ((b + sign * reach) / (1 + square) for sign in (-1, 1))
    # Rounding must not push an end past the estimate.
    return np.minimum(low.clip(0, 1), frequency), np.maximum(high.clip(0, 1), frequency)


def _detection(
    shares: Array, acceptance: Array, n: int, moments: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Variance of each class's share if it is absent, and its detection limit: float64[K] both.

    A class is detected where its share is above z sd_0. The limit L is Currie's (1968,
    doi:10.1021/ac60259a007), L - z' sd_L = z sd_0, with z' one-sided 95%: sd_L^2 adds to sd_0^2 the
    draw of the class's own images, z'^2 L/n rounded up to Poisson's 3 L/n, and what is not known of
    the oracle's answer to them.
    """
    second, of_mean = moments
    others = shares * (1 - np.eye(len(shares)))
    total = others.sum(1, keepdims=True)
    equal = np.full_like(others, 1 / len(shares))
    others = np.where(total > 0, others / np.maximum(total, TINY), equal)
    accepted = others @ acceptance
    absent = (others * second.T).sum(1) * accepted / n + (others**2 * of_mean.T).sum(1)
    z, own = Z_ONE_SIDED**2, -np.log(1 - CONFIDENCE) * np.diag(second) * accepted / n
    a = 1 - z * np.diag(of_mean)
    b, c = Z * np.sqrt(absent) + own / 2, (Z * Z - z) * absent
    limit = (b + np.sqrt(np.maximum(b * b - a * c, 0))) / np.where(a > 0, a, np.inf)
    return absent, np.where(a > 0, limit, 1).clip(max=1)


def posterior(probabilities: Array, prior: Array) -> Array:
    """Probabilities [N, K] for equal shares => those for shares `prior`."""
    weighted = probabilities * prior
    return weighted / np.maximum(weighted.sum(1, keepdims=True), TINY)


def normalized(values: Array) -> Array:
    """Values divided by their sum along the last axis."""
    return values / np.maximum(values.sum(-1, keepdims=True), TINY)
