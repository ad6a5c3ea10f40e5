"""Text of the page: numbers and lists, and terms with tooltips."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
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


TERMS = {
    "heterozygosity": "the chance that two samples are of different classes, 1 − Σp²",
    "N_e/n": "effective over actual number of images: 1 where the model draws as drift alone does, "
    "below 1 where shares move as if it had learned from fewer images",
    "effective population size": "the number of images whose independent draws would move the "
    "shares as much as was seen (N_e)",
    "selection coefficient": "the shift of a class's log odds in every generation",
    "Holm": "a correction of p-values for testing many classes (Holm 1979)",
    "detection limit": "a class with this share is detected in 95% of cases; a rarer one may be "
    "missed",
    "lineages": "chains of generations, each model trained on what came before",
    "lineage": "a chain of generations, each model trained on what came before",
    "regime": "the rule that picks a model's training set from real images and earlier samples",
    "floor": "the value between two sets of real images: a model can hardly do better",
    "real against real": "the value between two sets of real images: a model can hardly do better",
    "FID-infinity": "FID extrapolated to infinitely many samples",
    "FID∞": "FID extrapolated to infinitely many samples; scatter can make it negative",
    "FID": "Fréchet distance between features of real and generated images; smaller is better",
    "KID": "kernel distance between features of real and generated images; smaller is better, and "
    "scatter can make it negative",
    "density": "how many real neighborhoods a sample lies in, on average",
    "coverage": "the share of real images with a sample in their neighborhood",
    "Vendi score": "the effective number of different samples",
    "oracle": "a classifier trained once on real images and then frozen",
    "recognized": "like a real image to the oracle; other samples count for no class",
    "log-rank": "a test of whether two groups survive equally long",
    "pp": "percentage points",
}
"""Text of the tooltip by term."""

_PATTERN = re.compile(
    "|".join(
        rf"(?<![\w/]){re.escape(term)}(?!\w)" for term in sorted(TERMS, key=len, reverse=True)
    ),
    re.IGNORECASE,
)
_BY_LOWER = {term.lower(): text for term, text in TERMS.items()}


def with_tooltips(text: object) -> Markup:
    """A text, escaped, with a tooltip at the first place of each term in it."""
    seen: set[str] = set()

    def marked(found: re.Match[str]) -> str:
        word = found.group()
        explanation = _BY_LOWER[word.lower()]
        if explanation in seen:
            return word
        seen.add(explanation)
        return f'<abbr title="{escape(explanation)}">{word}</abbr>'

    return Markup(_PATTERN.sub(marked, str(escape(text))))  # noqa: S704 (escaped above)
