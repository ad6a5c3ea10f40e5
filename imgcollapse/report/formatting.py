"""Numbers and lists as a reader likes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NONE = "–"
"""A value that is not defined, in a table."""


def percent(share: float) -> str:
    """A share in percent, to two digits, or three from 10% on: "0.15%", "3.2%", "64.8%"."""
    if share < 1e-8:  # what expectation-maximization leaves of nothing
        return "0%"
    if share < 5e-5:
        return "<0.01%"
    return f"{share * 100:.3g}%" if share >= 0.1 else f"{share * 100:.2g}%"


def p_value(p: float, replicates: int) -> str:
    """A p-value from ranks among replicates: "0.43"; "≤ 0.001" is the smallest they can give."""
    least = 1 / (replicates + 1)
    return f"≤ {least:.1g}" if p <= least * 1.001 else f"{p:.2g}"


def signed(s: float) -> str:
    """A selection coefficient: "−0.31", "+0.05"."""
    return f"{s:+.2f}".replace("-", "−")


def ratio(value: float) -> str:
    """A ratio such as N_e/n: "0.85", "31"."""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def generations_text(generations: NDArray[np.int64]) -> str:
    """int64[L] generations in words: "7", "never", "3 to 8"."""
    low, high = int(generations.min()), int(generations.max())
    words = ["never" if g < 0 else str(g) for g in (low, high)]
    return words[0] if low == high else f"{words[0]} to {words[1]}"


def plain(text: str) -> str:
    """A text on one line, without the control characters that no drawing can hold."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def short(name: str, most: int = 32) -> str:
    """A class name on one line, its middle left out where it is too long for a picture."""
    name = plain(name)
    if len(name) <= most:
        return name
    head = most * 2 // 3
    return f"{name[:head]}…{name[head + 1 - most :]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as English lists them: "a, b and c", "a, b, c and 5 more", or "" for none."""
    if not words:
        return ""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def value(number: float) -> str:
    """A number to three digits, with a minus sign: "1.23", "−0.0012"."""
    return f"{number:.3g}".replace("-", "−")


def signed_value(number: float) -> str:
    """A difference to two digits, with its sign: "+0.12", "−1,234", "0"."""
    if abs(number) < 5e-13:
        return "0"
    form = "+,.0f" if abs(number) >= 99.5 else "+.2g"
    return format(number, form).replace("-", "−")


def signed_points(share: float) -> str:
    """A difference of two shares in percentage points: "+12 pp", "0 pp" below 0.005."""
    return f"{signed_value(share * 100)} pp" if abs(share) >= 5e-5 else "0 pp"
