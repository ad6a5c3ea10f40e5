"""What a run says in plain words: what happened, whether chance explains it, what is not known."""

from __future__ import annotations

import numpy as np

from imgcollapse.report.census_arrays import CensusArrays
from imgcollapse.report.drift_test import LEVEL, DriftTest
from imgcollapse.report.formatting import listed, p_value, percent, ratio
from imgcollapse.runs.run_dir import Run

FAITHFUL_RECOGNISED, FAITHFUL_DISTANCE, TRUSTED_ACCURACY = 0.95, 0.06, 0.9
"""Below, above and below which a result deserves a warning."""


def headline(counts: CensusArrays) -> list[str]:
    """What happened, in a few sentences."""
    if counts.last == 0:
        return ["Only the real images are here so far; no model has been trained yet."]
    g = counts.last
    later = f" and {_recognised(counts, g):.0%} of generation {g}" if g > 1 else ""
    return [
        _vanished(counts),
        _diversity(counts),
        f"The oracle recognised {_recognised(counts, 1):.0%} of generation 1{later}.",
    ]


def explained(verdict: DriftTest, counts: CensusArrays) -> list[str]:
    """Whether chance alone explains the class shares, in a few sentences."""
    names, overall = counts.classes, verdict.selection.overall
    if overall is None:
        return ["No class can tell chance from the model: chance alone would change none of them."]
    p = p_value(overall, len(verdict.null.shares))
    p = f"p {p}" if p.startswith("≤") else f"p = {p}"
    words = [verdict.words(k) for k in range(len(names))]
    if overall > LEVEL:
        said = (
            f"Chance alone is enough to explain the class shares ({p}): a perfect learner with as "
            "many images would have moved them as unevenly."
        )
    else:
        # The rarest first: they are what the study is about.
        lost, favoured = (
            [names[k] for k in reversed(range(len(names))) if words[k] == f"the model {what} it"]
            for what in ("loses", "favours")
        )
        parts = [f"loses {listed(lost)}"] * bool(lost)
        parts += [f"favours {listed(favoured)}"] * bool(favoured)
        which = f"the model {' and '.join(parts)}" if parts else "yet no class stands out"
        said = f"Chance alone does not explain the class shares ({p}): {which}."
    rare = [names[k] for k in reversed(range(len(names))) if words[k] == "too rare to tell"]
    said = [said, _inbreeding(verdict)]
    if rare:
        whose = "its" if len(rare) == 1 else "their"
        said.append(
            f"Too rare to tell: {listed(rare)}; a model that halves {whose} odds in every "
            "generation could look the same."
        )
    return said


def cautions(counts: CensusArrays, verdict: DriftTest | None) -> list[str]:
    """What can not be concluded from this run."""
    found, g = [], counts.last
    limit, n = counts.limit[:, g].mean(axis=0), float(counts.recognised[:, g].mean())
    hidden = np.flatnonzero((counts.expected[g] < limit) & counts.gone.any(axis=0))[::-1]
    below = (counts.gone & ~counts.extinct[:, g]).any(axis=0) & np.isfinite(limit)
    missed = [k for k in np.flatnonzero(below)[::-1] if k not in hidden]
    if len(hidden):
        names = listed([counts.classes[k] for k in hidden])
        one = len(hidden) == 1
        found.append(
            f"Whether {names} {'is' if one else 'are'} gone, whatever the status: "
            f"{'its real share is' if one else 'their real shares are'} below the detection limit "
            f"({percent(float(limit[hidden].max()))}), so a class that is still there would be "
            "missed as well."
        )
    if missed:
        names, verb = (
            listed([counts.classes[k] for k in missed]),
            "is" if len(missed) == 1 else "are",
        )
        where = "" if len(counts.lineages) == 1 else " wherever not detected"
        found.append(
            f"That {names} {verb} extinct{where}: below detection means a share of less than "
            f"{percent(float(limit[missed].max()))}, which {n:,.0f} recognised samples cannot tell "
            "from zero. A class is called extinct after three such generations running."
        )
    if g and len(counts.lineages) == 1:
        found.append(
            "Which class goes next time: this is one lineage, one course that chance could take."
        )
    unknown = 1 - _recognised(counts, g)
    if g and unknown > 1 - FAITHFUL_RECOGNISED:
        found.append(
            f"What the {percent(unknown)} of generation {g} that are like no real image would be: "
            "class shares are among the recognised samples."
        )
    if verdict and verdict.generations < g:
        found.append(
            f"Anything about classes after generation {verdict.generations}, for nothing was "
            "recognised in the next."
        )
    if verdict and verdict.filtered:
        found.append(
            "Whether it is the model or the filters that lose or favour a class: beside chance "
            "stand both together. What the filters kept of each class is told below."
        )
    found.append(
        "Anything beyond the classes: the census does not see what is lost inside a class, and "
        "corrects the oracle's errors as they are on real images."
    )
    return found


def ended(run: Run) -> list[str]:
    """Of every lineage that diverged, before which generation it ends and why."""
    found = []
    for lineage in run.lineages:
        if lost := lineage.diverged:
            who = "The run" if len(run.lineages) == 1 else f"Lineage {lineage.number}"
            found.append(
                f"{who} ends before generation {lost['generation']}, whose training diverged: "
                f"{lost['why']}."
            )
    return found


def warnings(run: Run, counts: CensusArrays) -> list[str]:
    """What a reader must know before believing the result."""
    found = ended(run)
    accuracy = run.record["oracle"]["accuracy"]
    if accuracy < TRUSTED_ACCURACY:
        found.append(
            f"The oracle names only {accuracy:.0%} of held-out real images rightly: the shares "
            "below are corrected for that, but wide and only as good as the correction."
        )
    if counts.last > 0 and (reasons := _unfaithful(counts)):
        found.append(reasons)
    return found


def _recognised(counts: CensusArrays, g: int) -> float:
    """Share of generation g that the oracle can name."""
    return float((counts.recognised[:, g] / counts.n[:, g]).mean())


def _distance(counts: CensusArrays) -> float:
    """Total variation between generation 1's class shares and the expected ones."""
    distances = np.abs(counts.frequency[:, 1] - counts.expected[1]).sum(axis=1) / 2
    return float(np.nan_to_num(distances, nan=1).mean())


def _unfaithful(counts: CensusArrays) -> str:
    """Why generation 1 is no copy of the real images, and whose fault that is; empty if it is."""
    recognised, distance, reasons = _recognised(counts, 1), _distance(counts), []
    if recognised < FAITHFUL_RECOGNISED:
        reasons.append(f"only {recognised:.1%} of it was recognised")
    if recognised > 0 and distance > FAITHFUL_DISTANCE:
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


def _vanished(counts: CensusArrays) -> str:
    gone, extinct = counts.gone, counts.extinct[:, counts.last]
    lineages, classes = gone.shape
    when = f"By generation {counts.last}"
    ever = counts.last_seen >= 0  # a class that was never seen cannot be said to have vanished
    lost = gone & ever
    if not np.isfinite(counts.frequency[:, counts.last]).any():
        return f"{when} nothing is recognised: no sample is like a real image."
    if not lost.any():
        seen = int(ever.any(axis=0).sum())
        all_ = f"all {classes} classes" if seen == classes else f"all {seen} detectable classes"
        return f"{when} {all_} are still detected."
    if lineages == 1:
        names = [
            f"{counts.classes[k]} (extinct, called in generation {counts.called[0, k]})"
            if extinct[0, k]
            else f"{counts.classes[k]} (last seen in generation {counts.last_seen[0, k]})"
            for k in np.flatnonzero(lost[0])[::-1]
        ]
        verb = "is" if len(names) == 1 else "are"
        return (
            f"{when}, {len(names)} of {classes} classes {verb} no longer detected: {listed(names)}."
        )
    often = [k for k in (-lost.mean(axis=0)).argsort(kind="stable") if lost[:, k].any()]
    names = [f"{counts.classes[k]} (in {lost[:, k].sum()} of {lineages})" for k in often]
    return (
        f"{when}, {lost.sum(axis=1).mean():.1f} of {classes} classes are no longer detected, "
        f"{(extinct & ever).sum(axis=1).mean():.1f} of them extinct, on average over {lineages} "
        f"lineages: {listed(names)}."
    )


def _diversity(counts: CensusArrays) -> str:
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


def _inbreeding(verdict: DriftTest) -> str:
    size = verdict.size.pooled
    if size.value is None or size.low is None or size.high is None:
        return f"The effective population size N_e is undefined: {size.reason}."
    said = (
        f"N_e/n is {ratio(size.value)} (95%: {ratio(size.low)} to {ratio(size.high)}), all "
        "generations together: "
    )
    if size.high < 1:
        return (
            f"{said}the shares moved as if each model had learnt from that part of its images only."
        )
    if size.low > 1:
        return f"{said}the shares moved less than independent draws do."
    return f"{said}no clear difference from a perfect learner's 1."
