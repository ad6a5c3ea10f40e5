"""What a run's census says, in numbers and in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgcollapse.report.counts import Counts
from imgcollapse.run_folder import Run

FAITHFUL_RECOGNISED, FAITHFUL_DISTANCE, TRUSTED_ACCURACY = 0.95, 0.06, 0.9
"""Below, above and below which a result deserves a warning."""


def headline(counts: Counts) -> list[str]:
    """The result in a few sentences."""
    if counts.last == 0:
        return ["Only the real images are here so far; no model has been trained yet."]
    g = counts.last
    later = f" and {_recognised(counts, g):.0%} of generation {g}" if g > 1 else ""
    return [
        _vanished(counts),
        _diversity(counts),
        f"The oracle recognised {_recognised(counts, 1):.0%} of generation 1{later}.",
    ]


def warnings(run: Run, counts: Counts) -> list[str]:
    """What a reader must know before believing the result."""
    found = []
    accuracy = run.record["oracle"]["accuracy"]
    if accuracy < TRUSTED_ACCURACY:
        found.append(
            f"The oracle names only {accuracy:.0%} of held-out real images rightly: "
            "the counts below are not to be trusted."
        )
    if counts.last > 0 and (reasons := _unfaithful(counts)):
        found.append(reasons)
    return found


def class_rows(counts: Counts) -> list[dict[str, Any]]:
    """One row for each class of the table "last seen", common to rare."""
    real = counts.training / counts.training.sum()
    final = counts.named[:, counts.last]
    return [
        {
            "name": name,
            "share": real[k],
            "training": int(counts.training[k]),
            "last_seen": last_seen_text(counts.last_seen[:, k]),
            "count": final[:, k].mean(),
            "samples": counts.n[:, counts.last].mean(),
            "gone": counts.gone[:, k].mean(),
            "status": _status(counts.gone[:, k]),
        }
        for k, name in enumerate(counts.classes)
    ]


def last_seen_text(last_seen: NDArray[np.int64]) -> str:
    """int64[L] generations in words: "7", "never", "3 to 8"."""
    low, high = int(last_seen.min()), int(last_seen.max())
    words = ["never" if g < 0 else str(g) for g in (low, high)]
    return words[0] if low == high else f"{words[0]} to {words[1]}"


def short(name: str, most: int = 32) -> str:
    """A class name on one line, its middle left out where it is too long for a picture."""
    name = " ".join(name.split())
    if len(name) <= most:
        return name
    head = most * 2 // 3
    return f"{name[:head]}…{name[head + 1 - most :]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Words as English lists them: "a, b and c", or "a, b, c and 5 more"."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _recognised(counts: Counts, g: int) -> float:
    """Share of generation g that the oracle can name."""
    return float((1 - counts.unrecognised[:, g] / counts.n[:, g]).mean())


def _distance(counts: Counts) -> float:
    """Total variation between generation 1's class shares and the expected ones."""
    distances = np.abs(counts.shares[:, 1] - counts.expected[1]).sum(axis=1) / 2
    return float(np.nan_to_num(distances, nan=1).mean())


def _unfaithful(counts: Counts) -> str:
    """Why generation 1 is no copy of the real images, and whose fault that is; empty if it is."""
    recognised, distance, reasons = _recognised(counts, 1), _distance(counts), []
    if recognised < FAITHFUL_RECOGNISED:
        reasons.append(f"only {recognised:.1%} of it was recognised")
    if distance > FAITHFUL_DISTANCE:
        reasons.append(
            "the total variation between its class shares and those it should have is "
            f"{distance:.3f} (more than {FAITHFUL_DISTANCE})"
        )
    if not reasons:
        return ""
    # Mean absolute deviation of a binomial share, summed over classes and halved.
    p, n = counts.expected[1], float(counts.n[:, 1].mean())
    chance = float(np.sqrt(2 * p * (1 - p) / (np.pi * n)).sum() / 2)
    if recognised >= FAITHFUL_RECOGNISED and distance <= 2 * chance:
        return (
            f"Generation 1 may not be faithful: {reasons[0]}. With {n:,.0f} samples chance alone "
            f"gives about {chance:.3f}: they are too few to tell a poor generator from a good one."
        )
    return (
        f"Generation 1 was not faithful: {' and '.join(reasons)}. "
        "This shows a poor generator, not collapse."
    )


def _vanished(counts: Counts) -> str:
    gone, when, classes = counts.gone, f"By generation {counts.last}", len(counts.classes)
    lineages = len(gone)
    if not gone.any():
        return f"{when} all {classes} classes are still seen."
    if lineages == 1:
        # The rarest first: they are what the study is about.
        names = [
            f"{counts.classes[k]} (last seen in generation {counts.last_seen[0, k]})"
            if counts.last_seen[0, k] >= 0
            else f"{counts.classes[k]} (never seen)"
            for k in np.flatnonzero(gone[0])[::-1]
        ]
        verb = "is" if len(names) == 1 else "are"
        return f"{when}, {len(names)} of {classes} classes {verb} no longer seen: {listed(names)}."
    often = [k for k in (-gone.mean(axis=0)).argsort(kind="stable") if gone[:, k].any()]
    names = [f"{counts.classes[k]} (in {gone[:, k].sum()} of {lineages})" for k in often]
    mean = gone.sum(axis=1).mean()
    return (
        f"{when}, {mean:.1f} of {classes} classes are no longer seen, on average over {lineages} "
        f"lineages: {listed(names)}."
    )


def _diversity(counts: Counts) -> str:
    values = counts.heterozygosity
    first, final = (
        float(h[np.isfinite(h)].mean()) if np.isfinite(h).any() else np.nan
        for h in (values[:, 0], values[:, counts.last])
    )
    name = "Heterozygosity, the chance that two samples differ in class,"
    if np.isnan(final) or np.isnan(first):
        nothing = 0 if np.isnan(first) else counts.last
        return f"{name} is undefined: nothing in generation {nothing} was recognised."
    if f"{first:.2f}" == f"{final:.2f}":
        return f"{name} stayed at {final:.2f}."
    return f"{name} {'fell' if final < first else 'rose'} from {first:.2f} to {final:.2f}."


def _status(gone: NDArray[np.bool_]) -> str:
    if len(gone) == 1:
        return "no longer seen" if gone[0] else "seen"
    return f"no longer seen in {gone.sum()} of {len(gone)}"
