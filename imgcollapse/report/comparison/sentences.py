"""What was learned of each arm in plain words, and what cannot be concluded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imgcollapse.drift import LogRank
from imgcollapse.report.comparison.aligned_runs import Arm, Arms, differing
from imgcollapse.report.comparison.differences import Difference
from imgcollapse.report.comparison.measures import Measure
from imgcollapse.report.comparison.survival_data import SurvivalData
from imgcollapse.report.formatting import listed, percent
from imgcollapse.report.series import mean
from imgcollapse.report.summary import ended

LEVEL = 0.05


def learned(
    arms: Arms,
    arm: Arm,
    gaps: Mapping[Measure, Difference],
    lives: tuple[SurvivalData, SurvivalData],
    test: LogRank,
) -> str:
    """What an arm did beside the baseline.

    Args:
        arms: all of them.
        arm: which.
        gaps: its differences from the baseline in the last generation.
        lives: of its rare classes, and of the baseline's.
        test: of the one against the other.
    """
    base, rare = arms.baseline.title, next(iter(gaps))  # the first measure is about rare classes
    ends = [mean(rare.of(x, arms.last + 1))[arms.last] for x in (arm, arms.baseline)]
    if not np.isfinite(ends).all():
        said = [f"The {rare.name} cannot be compared in generation {arms.last}: it is undefined."]
    else:
        mine, theirs = (percent(float(end)) for end in ends)
        gap = gaps[rare]
        verb = "Keeps more" if gap.sign > 0 else "Keeps less"
        shown = f"{mine} against {theirs}, {_with_interval(rare, gap)}"
        said = [
            f"Is not told apart from {base} by the {rare.name}: {shown}."
            if gap.sign == 0
            else f"{verb} of the rarest classes than {base}: {shown}."
        ]
    said.append(_survival(lives, test, base))
    others = [measure for measure in gaps if measure is not rare]
    for sign, word in ((1, "Better"), (-1, "Worse")):
        found = [m for m in others if gaps[m].sign * m.better == sign]
        if found:
            parts = [f"{m.name} ({m.change(gaps[m].value or 0)})" for m in found]
            said.append(f"{word} by {listed(parts, most=6)}.")
    return " ".join(said)


def unknown(arms: Arms, arm: Arm, gaps: Mapping[Measure, Difference], test: LogRank) -> str:
    """What cannot be concluded of an arm."""
    said = []
    if all(gap.low is None for gap in gaps.values()):
        count = min(len(arm.lineages), len(arms.baseline.lineages))
        said.append(
            f"Whether any of this would happen again: with {count} lineage"
            f"{'s' * (count > 1)} no interval over lineages can be given."
        )
    else:
        blurred = [m.name for m, gap in gaps.items() if gap.low is not None and gap.sign == 0]
        if blurred:
            said.append(
                f"Whether it changes the {listed(blurred, most=6)}: "
                f"{'this interval includes' if len(blurred) == 1 else 'these intervals include'} 0."
            )
    if test.p is not None and test.p > LEVEL:
        said.append("Whether rare classes live longer in one of the two.")
    changed = differing(arms.baseline.run.record["study"], arm.run.record["study"])
    if len(changed) > 1:
        said.append(f"Which of {listed(changed, most=6)} made the difference: all of them differ.")
    return " ".join(said) or "Nothing that is measured here; see below for what is not."


def warnings(arms: Arms) -> list[str]:
    """What a reader must know before comparing."""
    found, base = [], arms.baseline
    for what, of in (
        ("real images", lambda arm: arm.run.record["data"]["sha256"]),
        ("oracle", lambda arm: sorted(arm.metrics["features"].dropna().unique())),
    ):
        other = [arm.title for arm in arms.all if of(arm) != of(base)]
        if other:
            found.append(
                f"Not the same {what} as {base.title}: {listed(other)}. Their numbers differ for "
                "that reason too."
            )
    under_way = [
        f"{arm.title} ({len(arm.lineages)} of {arm.run.record['study']['lineages']} lineages, "
        f"{arm.counts.last} of {arm.run.record['study']['generations']} generations)"
        for arm in arms.all
        if len(arm.lineages) < arm.run.record["study"]["lineages"]
        or arm.counts.last < arm.run.record["study"]["generations"]
    ]
    if under_way:
        found.append(f"Under way: {listed(under_way, most=6)}.")
    found += [f"{arm.title}: {line}" for arm in arms.all for line in ended(arm.run)]
    if arms.waiting:
        found.append(f"No model has been trained yet: {listed(arms.waiting, most=6)}.")
    return found


def intervals(gaps: Sequence[Difference], paired_lineages: int) -> str:
    """How the intervals of the differences were made."""
    kinds = {gap.how for gap in gaps if gap.how}
    if not kinds:
        return "Where an arm has one lineage, no interval over lineages can be given."
    said = []
    if "paired" in kinds:
        said.append(
            "Intervals are 95%, by Student’s t over the differences of lineages of the same number "
            f"({paired_lineages} pairs), which start from the same seed."
        )
    if "Welch" in kinds:
        said.append("Intervals are 95%, by Welch’s t over the lineages of both arms.")
    if len(kinds) > 1:
        said.append("The first holds where both arms have the same lineages and seed.")
    said.append("They are not corrected for how many there are: of twenty, one misses by chance.")
    return " ".join(said)


def _survival(lives: tuple[SurvivalData, SurvivalData], test: LogRank, base: str) -> str:
    mine, theirs = (f"{int(x.lost.sum())} of {len(x.lost)}" for x in lives)
    facts = f"{mine} lives of rare classes end in extinction, {theirs} in {base}"
    if test.p is None or test.statistic is None:
        return f"{facts}." if lives[0].lost.any() or lives[1].lost.any() else "No extinctions."
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.2g}"
    if test.p > LEVEL:
        return f"{facts} (log-rank {p}: not told apart)."
    return f"{facts}: they live {'longer' if test.statistic < 0 else 'shorter'} (log-rank {p})."


def _with_interval(measure: Measure, gap: Difference) -> str:
    if gap.value is None:
        return "difference undefined"
    said = f"difference {measure.change(gap.value)}"
    if gap.low is None or gap.high is None:
        return said
    return f"{said}, 95% {measure.change(gap.low)} to {measure.change(gap.high)}"
