"""How many samples of each class there are, as the oracle names them, with an error bar.

Counts here are raw: the oracle's mistakes are in them, and the interval carries sampling error
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from torch import Tensor

from imgcollapse.core.images import UNKNOWN

UNRECOGNISED = "(unrecognised)"
"""The class of samples that the oracle cannot name."""

COLUMNS = (
    "generation",
    "class",
    "n",
    "asked",
    "counted",
    "frequency",
    "low",
    "high",
    "expected",
    "drift_low",
    "drift_high",
    "status",
)


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a binomial share, count of n >= 1.

    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = count / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    # At the ends the interval touches 0 or 1 exactly; rounding must not push it past.
    return (0.0 if count == 0 else centre - reach), (1.0 if count == n else centre + reach)


def count(
    generation: int,
    counted: Tensor,
    asked: Tensor,
    classes: Sequence[str],
    expected: Sequence[float],
) -> list[dict[str, Any]]:
    """The census of one generation: a row for each class and one for `UNRECOGNISED`.

    Args:
        generation: its number.
        counted: int16[N], the class the oracle names, or `UNKNOWN`.
        asked: int16[N], the class asked for, or `UNKNOWN` throughout.
        classes: K names.
        expected: K shares that the regime would give with no loss.

    Returns:
        Dictionaries with the keys `COLUMNS`. `frequency` is the share among recognised samples,
        for `UNRECOGNISED` the share among all; None where nothing was recognised.
    """
    n = len(counted)
    recognised = int((counted != UNKNOWN).sum())
    is_asked = bool((asked != UNKNOWN).any())

    def row(name: str, label: int, out_of: int) -> dict[str, Any]:
        number = int((counted == label).sum())
        low, high = wilson(number, out_of) if out_of else (None, None)
        known = label != UNKNOWN
        values = (
            generation,
            name,
            n,
            int((asked == label).sum()) if is_asked and known else None,
            number,
            number / out_of if out_of else None,
            low,
            high,
            expected[label] if known else None,
            None,
            None,
            ("present" if number else "below-detection") if known else None,
        )
        return dict(zip(COLUMNS, values, strict=True))

    rows = [row(name, label, recognised) for label, name in enumerate(classes)]
    return [*rows, row(UNRECOGNISED, UNKNOWN, n)]
