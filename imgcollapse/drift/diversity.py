"""Measures of class diversity, each with the band that drift alone gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from imgcollapse.drift.null_model import Array, NullModel, band


def heterozygosity(x: Array) -> Array:
    """Probability that two images differ in class, 1 - sum x^2: shares float64[..., K] => [...]."""
    return x.sum(axis=-1) ** 2 - (x**2).sum(axis=-1)


def classes_alive(x: Array) -> Array:
    """Number of classes with any image: shares float64[..., K] => float64[...]."""
    return (x > 0).sum(axis=-1).astype(np.float64)


def entropy(x: Array) -> Array:
    """Shannon entropy in nats, - sum x ln x: shares float64[..., K] => [...]."""
    return entr(x).sum(axis=-1)


@dataclass(frozen=True)
class DiversityBand:
    """One measure over the generations of a lineage, and its null band.

    Attributes:
        value: float64[..., G+1], of the lineage.
        expected: float64[G+1], mean of the replicates.
        low: float64[G+1], lower end of the band that holds 95% of them or more.
        high: float64[G+1], upper end.
    """

    value: Array
    expected: Array
    low: Array
    high: Array


def against_chance(
    measure: Callable[[Array], Array], x: Array, null: NullModel, confidence: float = 0.95
) -> DiversityBand:
    """Compares a measure of shares float64[..., G+1, K] with its distribution under drift alone."""
    simulated = measure(null.shares)
    low, high = band(simulated, confidence)
    return DiversityBand(measure(x), simulated.mean(axis=0), low, high)
