"""What arms are compared by: a value for each lineage and generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imgcollapse.report.census_arrays import Cube
from imgcollapse.report.comparison.aligned_runs import Arm, Arms
from imgcollapse.report.distances import series
from imgcollapse.report.formatting import percent


@dataclass(frozen=True)
class Measure:
    """One number about a generation.

    Attributes:
        name: what it is called in a sentence.
        title: of its chart.
        better: 1 where more is better, -1 where less is, 0 where neither.
        show: a value as text.
        change: a difference as text, with its sign.
        of: arm and number of generations => float64[L, G], NaN where undefined.
        most: the largest value there can be.
        whole: whether the axis goes up to it.
    """

    name: str
    title: str
    better: int
    show: Callable[[float], str]
    change: Callable[[float], str]
    of: Callable[[Arm, int], Cube]
    most: float = np.inf
    whole: bool = True


def measures(arms: Arms) -> list[Measure]:
    """Those that have a value in every arm."""
    rare, classes = list(arms.rare), len(arms.classes)

    def recognised(arm: Arm, generations: int) -> Cube:
        return (arm.counts.recognised / arm.counts.n)[:, :generations]

    def kept(arm: Arm, generations: int) -> Cube:
        # A rare class that grows, as one that mush looks like does, must not hide another's loss.
        real = arm.counts.training[rare] / arm.counts.training.sum()
        shares = np.minimum(arm.counts.frequency[:, :generations, rare], real)
        return shares.sum(axis=2) / real.sum()

    def rare_share(arm: Arm, generations: int) -> Cube:
        return arm.counts.frequency[:, :generations, rare].sum(axis=2)

    def extinct(arm: Arm, generations: int) -> Cube:
        # By the end, not at some time: fresh real images can bring a class back.
        return arm.counts.extinct[:, :generations, rare].sum(axis=2).astype(np.float64)

    def alive(arm: Arm, generations: int) -> Cube:
        return arm.counts.detected[:, :generations].sum(axis=2).astype(np.float64)

    def heterozygosity(arm: Arm, generations: int) -> Cube:
        return arm.counts.heterozygosity[:, :generations]

    which = "class" if len(rare) == 1 else f"{len(rare)} classes"
    found = [
        Measure(
            f"part of the rarest {which} that is kept",
            f"Kept of the rarest {which}",
            1,
            percent,
            _points,
            kept,
            1,
        ),
        Measure(
            f"share of the rarest {which}",
            f"Share of the rarest {which}",
            0,
            percent,
            _points,
            rare_share,
            1,
            whole=False,
        ),
        Measure(
            "number of rare classes extinct",
            f"Extinct of the rarest {which}",
            -1,
            _plain,
            _signed,
            extinct,
            len(rare),
        ),
        Measure(
            "number of classes detected",
            f"Classes detected, of {classes}",
            1,
            _plain,
            _signed,
            alive,
            classes,
        ),
        Measure(
            "heterozygosity",
            "Heterozygosity: chance that two samples differ",
            1,
            _plain,
            _signed,
            heterozygosity,
            1,
        ),
        Measure(
            "share recognised",
            "Share of samples like a real image",
            1,
            percent,
            _points,
            recognised,
            1,
        ),
        _metric("fid", "FID", "FID to real images", -1),
        _metric("kid", "KID", "KID to real images", -1),
        _metric("recall", "recall", "Recall of real images", 1, 1),
    ]
    generations = arms.last + 1
    return [
        measure
        for measure in found
        if all(np.isfinite(measure.of(arm, generations)).any() for arm in arms.all)
    ]


def _metric(metric: str, name: str, title: str, better: int, most: float = np.inf) -> Measure:
    def of(arm: Arm, generations: int) -> Cube:
        values = series(arm.metrics, metric, "value", generations)
        return np.full((len(arm.lineages), generations), np.nan) if values is None else values

    return Measure(name, title, better, _plain, _signed, of, most, np.isfinite(most))


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _signed(value: float) -> str:
    if abs(value) < 5e-13:
        return "0"
    form = "+,.0f" if abs(value) >= 99.5 else "+.2g"
    return format(value, form).replace("-", "−")


def _points(share: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{_signed(share * 100)} pp"
