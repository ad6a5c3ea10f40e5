"""N_e/n of a lineage: how much further its classes move in a generation than chance moves them.

Variance effective size: drift moves shares by an amount in proportion to 1/N_e, so N_e/n is the
movement of a perfect learner under the same regime over the movement seen (Crow & Denniston 1988,
doi:10.1111/j.1558-5646.1988.tb04154.x). One number for how inbred a generator is.
"""

from __future__ import annotations

from dataclasses import dataclass

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.drift.null import Array, NullModel, band
from imgcollapse.drift.temporal_ne import EffectiveSize

_ROUNDING = 1e-14
"""Shares that should sum to 1, or differ by nothing, are off by less than this."""


@dataclass(frozen=True)
class RelativeEffectiveSize:
    """N_e/n with 95% intervals; times the images a model is trained on, it is N_e in images.

    Attributes:
        generations: of generations 1 to G, one each.
        pooled: of all generations together.
    """

    generations: tuple[EffectiveSize, ...]
    pooled: EffectiveSize


def relative_size(
    x: Array, null: NullModel, seed: Seed, noise: Array | None = None
) -> RelativeEffectiveSize:
    """N_e/n = E[F_null] / F, with F_g = sum_k (x_g - t_g)^2 / sum_k z(1-z), z = (x_g + t_g)/2.

    t_g are the shares expected given the generations before, those of the training set. Over
    generations and lineages numerators and denominators are summed. The interval takes F / E[F] to
    be distributed as it is among the replicates.

    Args:
        x: float64[G+1, K] measured class shares of one lineage, or float64[L, G+1, K].
        null: the same regime, samples and generations.
        seed: of the teams of L replicates.
        noise: float64[G+1, K], variance of a measured share beyond sampling, such as the oracle's;
            its part of the movement is taken off.

    Raises:
        UserError: the shapes of x and null do not match.
    """
    course = x[None] if x.ndim == 2 else x
    if course.shape[1:] != null.shares.shape[1:]:
        raise UserError(
            f"effective size: shares {course.shape[1:]} and the null model {null.shares.shape[1:]}"
            " differ in generations or classes; replay as many of both"
        )
    moved, room = _movement(course, null.given(course))
    if noise is not None:
        inherited = null.sources[:, 1:] ** 2 @ noise[1:]
        moved = moved - (noise + inherited).sum(axis=1)
    null_moved, null_room = _movement(null.shares, null.given(null.shares))
    teams = null.lineage_groups(len(course), seed)
    chance_moved, chance_room = null_moved[teams].sum(axis=1), null_room[teams].sum(axis=1)
    moved, room = moved.sum(axis=0), room.sum(axis=0)
    return RelativeEffectiveSize(
        tuple(
            _ratio(moved[g], room[g], chance_moved[:, g], chance_room[:, g])
            for g in range(1, len(moved))
        ),
        _ratio(
            moved[1:].sum(),
            room[1:].sum(),
            chance_moved[:, 1:].sum(axis=1),
            chance_room[:, 1:].sum(axis=1),
        ),
    )


def _movement(x: Array, t: Array) -> tuple[Array, Array]:
    z = (x + t) / 2
    return ((x - t) ** 2).sum(axis=-1), (z * (1 - z)).sum(axis=-1)


def _ratio(moved: float, room: float, chance_moved: Array, chance_room: Array) -> EffectiveSize:
    alive = chance_room > _ROUNDING
    if room <= _ROUNDING:
        return EffectiveSize(None, None, None, "only one class is alive: it cannot drift")
    chance = chance_moved[alive] / chance_room[alive]
    if not alive.any() or chance.mean() <= _ROUNDING:
        return EffectiveSize(None, None, None, "chance alone changes nothing here")
    if moved <= _ROUNDING:
        return EffectiveSize(None, None, None, "no change beyond the error of measurement")
    ratio = float(chance.mean() / (moved / room))
    low, high = (ratio * float(end) for end in band(chance / chance.mean()))
    return EffectiveSize(ratio, low, high)
