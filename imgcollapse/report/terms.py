"""Terms of the page with a short explanation each, shown as tooltips."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

TERMS = {
    "heterozygosity": "the chance that two samples are of different classes, 1 − Σp²",
    "N_e/n": "effective over actual number of images: 1 where the model draws as chance does, "
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
