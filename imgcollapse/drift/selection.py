"""Selection coefficients: the change of class shares that drift alone does not explain.

Under drift alone the expected share of a class is t_g, its share in the g-th training set, so
e_g = x_g - t_g is a martingale difference, whatever the regime. A model that is biased against a
class draws it with log odds that are s lower than in its training set, in every generation:
logit E[x_g] = logit t_g + s, the selection coefficient of population genetics (genic selection,
haploid; Ewens 2004, ch. 1). A logistic regression with offset logit t_g estimates s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import expit, logit

from imgcollapse.core.errors import UserError
from imgcollapse.core.seeds import Seed
from imgcollapse.drift.null_model import Array, NullModel

LEVEL = 0.05

_REACH = 60.0
"""Log odds beyond which a share in float64 cannot be told from 0 or 1."""


@dataclass(frozen=True)
class Selection:
    """Selection coefficients of K classes; a masked entry is undefined, and `reason` says why.

    Attributes:
        s: masked float64[K], maximum likelihood log-odds shift per generation; below 0 the model
            draws the class too rarely. Masked where the class was never drawn, or nothing else.
        low: masked float64[K], lower end of the 95% interval; masked where any lower s fits.
        high: masked float64[K], upper end; masked where any higher s fits.
        p: masked float64[K], two-sided p-value of drift alone, s = 0: at most 0.05 exactly where
            the interval excludes 0.
        reason: str or None for each class, why something is masked.
        overall: p-value of drift alone over all classes, or None where no class varies.
    """

    s: np.ma.MaskedArray
    low: np.ma.MaskedArray
    high: np.ma.MaskedArray
    p: np.ma.MaskedArray
    reason: tuple[str | None, ...]
    overall: float | None


def selection_coefficients(
    x: Array, null: NullModel, seed: Seed, noise: Array | None = None
) -> Selection:
    """Estimates the selection coefficient of every class and tests drift alone.

    With p_g = expit(logit t_g + s), s solves the score equation U(s) = sum_g (x_g - p_g) = 0;
    generations where t_g is 0 or 1 carry no information. The statistic is Z(s) = U(s) / sqrt(I(s))
    with the information I(s) = sum_g p_g (1 - p_g). Its distribution under drift is that of Z(0) in
    the replicates of the null model, which accounts for the number of images, how many of them are
    trained on and the regime: p = (1 + #{|Z_null| >= |Z|}) / (S + 1) (Barnard 1963), and the
    interval is all s with |Z(s)| <= c, c the null's 95% point (quasi-likelihood score interval,
    McCullagh 1983). The overall p-value is the rank of the smallest p among those of the replicates
    (Westfall & Young 1993, single-step minP).

    Args:
        x: float64[G+1, K] measured class shares of one lineage, or float64[L, G+1, K]: scores and
            information are summed over L lineages, and compared with L replicates at a time.
        null: the same regime, samples and generations.
        seed: of the groups of replicates and of the noise.
        noise: float64[G+1, K], variance of a measured share beyond sampling, such as the oracle's;
            the replicates' shares get normal errors of this variance, and stay within [0, 1].

    Raises:
        UserError: the shapes of x, noise and null do not match.
    """
    # Estimated shares on their way to 0 count as 0.
    shares = (x[None] if x.ndim == 2 else x).round(12)
    shape = null.shares.shape[1:]
    for name, array in (("shares", shares[0]), ("noise", shares[0] if noise is None else noise)):
        if array.shape != shape:
            raise UserError(
                f"selection: {name} {array.shape} and the null model {shape} differ in"
                " generations or classes; simulate as many of both"
            )
    replicates = null.shares
    if noise is not None:
        errors = (seed / "noise").numpy().normal(size=replicates.shape) * np.sqrt(noise)
        errors[:, 0] = 0  # the real shares are known
        replicates = np.clip(replicates + errors, 0, 1)
    score, information = _score(replicates, null.given(replicates))
    groups = null.lineage_groups(len(shares), seed / "teams")
    chance = _z(score[groups].sum(axis=1), information[groups].sum(axis=1))
    expected = null.given(shares)
    seen = _z(*(part.sum(axis=0) for part in _score(shares, expected)))

    # Rounded, so that the same counts added in another order are a tie.
    size = np.abs(np.concatenate([seen[None], chance])).round(12)
    p = _ranks(size)
    cells = shares[:, 1:].reshape(-1, shape[1]), expected[:, 1:].reshape(-1, shape[1])
    critical = np.sort(size[1:], axis=0)[-max(1, int(LEVEL * len(size)))]
    fits = [
        _fit(cells[0][:, k], cells[1][:, k], critical[k], bool(critical[k] > 0))
        for k in range(shape[1])
    ]
    columns = [np.array([fit[i] for fit in fits], dtype=np.float64) for i in range(3)]
    s, low, high = (np.ma.array(np.nan_to_num(column), mask=np.isnan(column)) for column in columns)
    uninformative = np.array([fit[4] for fit in fits])
    least = np.where(uninformative, 1.0, p).min(axis=1)
    return Selection(
        s,
        low,
        high,
        np.ma.array(p[0], mask=uninformative),
        tuple(fit[3] for fit in fits),
        None if uninformative.all() else float((least <= least[0]).mean()),
    )


def _score(x: Array, t: Array) -> tuple[Array, Array]:
    """U(0) and I(0) of shares [..., G+1, K]: [..., K] both."""
    informative = (t > 0) & (t < 1)
    informative[..., 0, :] = False
    score, information = np.where(informative, x - t, 0), np.where(informative, t * (1 - t), 0)
    return score.sum(axis=-2), information.sum(axis=-2)


def _z(score: Array, information: Array) -> Array:
    return score / np.sqrt(np.where(information > 0, information, 1))


def _ranks(size: Array) -> Array:
    """Share of the rows [S+1, K] that are as large as each of them or larger."""
    ordered = np.sort(size, axis=0)
    below = [np.searchsorted(ordered[:, k], size[:, k], "left") for k in range(size.shape[1])]
    return (len(size) - np.stack(below, axis=1)) / len(size)


Fit = tuple[float, float, float, str | None, bool]


def _fit(x: Array, t: Array, critical: float, varies: bool) -> Fit:
    """s, low and high (NaN where undefined), why, and whether the class is uninformative."""
    informative = (t > 0) & (t < 1)
    if not informative.any() or not varies:
        if not (t > 0).any():
            reason = "never in a training set"
        elif not informative.any():
            reason = "the only class in every training set"
        else:
            reason = "drift alone does not change it"
        return np.nan, np.nan, np.nan, reason, True
    x, offset = x[informative], logit(t[informative])
    total = float(x.sum())
    z = partial(_z_at, x, offset)
    never, always = total <= 0, total >= len(x)
    s = np.nan if never or always else _end(z, 0.0, -_REACH, _REACH)
    # Z falls from +inf to -inf as the shift grows; where x is all 0 or all 1, from or to 0.
    low = np.nan if never else _end(z, critical, _REACH if always else s, -_REACH)
    high = np.nan if always else _end(z, -critical, -_REACH if never else s, _REACH)
    reason = None
    if never:
        reason = "gone in every generation that could have had it: any low enough s fits"
    elif always:
        reason = "alone in every generation that could have had others: any high enough s fits"
    return s, low, high, reason, False


def _end(z: Callable[[float], float], level: float, near: float, far: float) -> float:
    found = root_scalar(lambda shift: z(shift) - level, bracket=(near, far), method="brentq")
    return float(found.root)


def _z_at(x: NDArray[np.float64], offset: NDArray[np.float64], shift: float) -> float:
    p = expit(offset + shift)
    return float((x - p).sum() / np.sqrt((p * expit(-offset - shift)).sum()))
