"""Effective population size: the number of images at which a perfect learner drifts as much.

Two estimates of it. `effective_size` compares two independent samples, t generations apart (the
temporal method, Jorde & Ryman 2007, doi:10.1534/genetics.107.075481, for haploids: what they call
2 N_e genes is N_e images here). `relative_size` compares the movement of class shares in a lineage
with that of the null model, as N_e/n: drift moves shares in proportion to 1/N_e (variance effective
size, Crow & Denniston 1988, doi:10.1111/j.1558-5646.1988.tb04154.x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.drift.null_model import Array, NullModel, band

_ROUNDING = 1e-14
"""Rounding error of shares that should sum to 1, or be equal."""


@dataclass(frozen=True)
class EffectiveSize:
    """An estimate of the effective population size, with its 95% interval.

    Attributes:
        value: N_e in images, or N_e/n from `relative_size`; None where no finite size fits.
        low: lower end of the interval, or None.
        high: upper end, or None where any larger size fits too.
        reason: why something is None, else None.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def effective_size(x_counts: ArrayLike, y_counts: ArrayLike, generations: int) -> EffectiveSize:
    """Estimates N_e = t / F' from class counts t generations apart.

    Shares x and y differ because two samples were drawn and because the population drifted between
    them. F_S = sum (x-y)^2 / sum z(1-z) with z = (x+y)/2, and F' = [F_S (1 - 1/(4s)) - 1/s] /
    [(1 + F_S/4)(1 - 1/m_y)], with 1/s = 1/m_x + 1/m_y for samples of m_x and m_y images. The
    interval takes (K-1) F_S over its expectation as chi-square with K-1 degrees of freedom, K the
    classes seen (Waples 1989, doi:10.1093/genetics/121.2.379).

    Args:
        x_counts: int[K], class counts of a sample that is no part of the lineage itself.
        y_counts: int[K], class counts `generations` later.
        generations: t >= 1.

    Raises:
        UserError: the counts are of different classes, or t is below 1.
    """
    before, after = np.asarray(x_counts, dtype=float), np.asarray(y_counts, dtype=float)
    if before.shape != after.shape or before.ndim != 1:
        raise UserError(
            f"effective size: counts of {before.shape} and {after.shape} classes do not match; "
            "give one count for each class, twice"
        )
    if generations < 1:
        raise UserError(
            f"effective size: the samples are {generations} generations apart; give 1 or more"
        )
    m_x, m_y = before.sum(), after.sum()
    if m_x == 0 or m_y < 2:
        return EffectiveSize(None, None, None, "too few images: give at least one, and two later")
    x, y = before / m_x, after / m_y
    z = (x + y) / 2
    freedom = int((z > 0).sum()) - 1
    if freedom == 0:
        return EffectiveSize(None, None, None, "only one class is alive: it cannot drift")
    f_s = float(((x - y) ** 2).sum() / (z * (1 - z)).sum())
    sampling = float(1 / m_x + 1 / m_y)

    def size(f: float) -> float | None:
        drift = f * (1 - sampling / 4) - sampling
        return generations * (1 + f / 4) * float(1 - 1 / m_y) / drift if drift > 0 else None

    high, low = (size(freedom * f_s / float(chi2.ppf(q, freedom))) for q in (0.975, 0.025))
    reason = None if high is not None else "sampling alone explains as much: no upper bound"
    return EffectiveSize(size(f_s), low, high, reason)


@dataclass(frozen=True)
class RelativeEffectiveSize:
    """N_e/n; times the images a model is trained on, it is N_e in images.

    Attributes:
        generations: of generations 1 to G, one each.
        pooled: of all generations together.
    """

    generations: tuple[EffectiveSize, ...]
    pooled: EffectiveSize


def relative_size(
    x: Array, null: NullModel, seed: Seed, noise: Array | None = None
) -> RelativeEffectiveSize:
    """Estimates N_e/n = E[F_null] / F, the null model's movement over that of a lineage.

    F_g = sum_k (x_g - t_g)^2 / sum_k z(1-z) with z = (x_g + t_g)/2, and t_g the shares expected
    given the generations before, those of the training set. Numerators and denominators are summed
    over generations and lineages. The interval takes F / E[F] to be distributed as it is among the
    replicates.

    Args:
        x: float64[G+1, K] measured class shares of one lineage, or float64[L, G+1, K].
        null: the same regime, samples and generations.
        seed: of the groups of L replicates.
        noise: float64[G+1, K], variance of a measured share beyond sampling, such as the oracle's;
            its part of the movement is taken off.

    Raises:
        UserError: the shapes of x and null do not match.
    """
    shares = x[None] if x.ndim == 2 else x
    if shares.shape[1:] != null.shares.shape[1:]:
        raise UserError(
            f"effective size: shares {shares.shape[1:]} and the null model {null.shares.shape[1:]}"
            " differ in generations or classes; simulate as many of both"
        )
    moved, scale = _movement(shares, null.given(shares))
    if noise is not None:
        inherited = null.sources[:, 1:] ** 2 @ noise[1:]
        moved = moved - (noise + inherited).sum(axis=1)
    null_moved, null_scale = _movement(null.shares, null.given(null.shares))
    groups = null.lineage_groups(len(shares), seed)
    chance_moved, chance_scale = null_moved[groups].sum(axis=1), null_scale[groups].sum(axis=1)
    moved, scale = moved.sum(axis=0), scale.sum(axis=0)
    return RelativeEffectiveSize(
        tuple(
            _ratio(moved[g], scale[g], chance_moved[:, g], chance_scale[:, g])
            for g in range(1, len(moved))
        ),
        _ratio(
            moved[1:].sum(),
            scale[1:].sum(),
            chance_moved[:, 1:].sum(axis=1),
            chance_scale[:, 1:].sum(axis=1),
        ),
    )


def _movement(x: Array, t: Array) -> tuple[Array, Array]:
    z = (x + t) / 2
    return ((x - t) ** 2).sum(axis=-1), (z * (1 - z)).sum(axis=-1)


def _ratio(moved: float, scale: float, chance_moved: Array, chance_scale: Array) -> EffectiveSize:
    alive = chance_scale > _ROUNDING
    if scale <= _ROUNDING:
        return EffectiveSize(None, None, None, "only one class is alive: it cannot drift")
    chance = chance_moved[alive] / chance_scale[alive]
    if not alive.any() or chance.mean() <= _ROUNDING:
        return EffectiveSize(None, None, None, "drift alone changes nothing here")
    if moved <= _ROUNDING:
        return EffectiveSize(None, None, None, "no change beyond the error of measurement")
    ratio = float(chance.mean() / (moved / scale))
    low, high = (ratio * float(end) for end in band(chance / chance.mean()))
    return EffectiveSize(ratio, low, high)
