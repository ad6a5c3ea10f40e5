"""Summary at the top of the page: results, warnings, and what cannot be concluded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from imgcollapse.report.arrays import CensusArrays, mean, series
from imgcollapse.report.data import PageData, ReportedRun
from imgcollapse.report.drift_test import LEVEL, DriftTest
from imgcollapse.report.formatting import listed, p_value, percent, ratio, value
from imgcollapse.report.measures import differences, measures
from imgcollapse.report.section import Block, Bullets, Section, Text
from imgcollapse.runs.run_dir import Run

FAITHFUL_RECOGNIZED, FAITHFUL_DISTANCE, TRUSTED_ACCURACY = 0.95, 0.06, 0.9
"""Below, above and below which a result deserves a warning."""


class Header(Section):
    """The results in a few sentences, with warnings; it stands below the page's heading."""

    name = "header"

    def blocks(self, data: PageData) -> Sequence[Block]:
        """Of one run with what cannot be concluded; of several the comparison of rare classes."""
        if data.several:
            real = data.run.census.training / data.run.census.training.sum()
            rare = listed([data.classes[k] for k in reversed(data.rare)], most=6)
            share = percent(float(real[list(data.rare)].sum()))
            second = (
                f"Rarest, of {len(data.classes)} classes: {rare}; together {share} of the real "
                f"images. Every other arm is compared with {data.run.title}."
            )
            remarks = ((x.title, x.run.record["data"]["remarks"]) for x in data.runs)
            return [
                Text(lead(data), "lead"),
                Text(second, "second"),
                *(Text(line, "warning") for line in comparison_warnings(data)),
                *(Text(line, "remark") for line in _by_run(remarks)),
            ]
        run = data.run
        first, *rest = headline(run.census)
        tested = explained(run.drift_test, run.census) if run.drift_test else []
        paragraphs = [rest, tested, changed_metrics(run)]
        return [
            Text(first, "lead"),
            *(Text(" ".join(sentences), "second") for sentences in paragraphs if sentences),
            *(Text(line, "warning") for line in warnings(run.run, run.census)),
            Bullets("What cannot be concluded", cautions(run.census, run.drift_test)),
            *(Text(remark, "remark") for remark in run.run.record["data"]["remarks"]),
        ]


def lead(data: PageData) -> str:
    """Sentence on the part of the rare classes' share that each run keeps."""
    rare, base = measures(data)[0], data.run.title
    gaps = [(run.title, differences(data, run, [rare])[rare]) for run in data.runs[1:]]
    end = mean(rare.of(data.run, data.last + 1))[data.last]
    now = percent(float(end)) if np.isfinite(end) else "an undefined share"
    said = f"{base} keeps {now} of the rarest classes’ share in generation {data.last}"
    for sign, verb in ((1, "keep more"), (-1, "keep less")):
        names = [title for title, gap in gaps if gap.sign == sign]
        if names:
            verb = verb.replace("keep", "keeps") if len(names) == 1 else verb
            said += f"; {listed(names, most=8)} {verb}"
    if unclear := [title for title, gap in gaps if not gap.sign]:
        said += f"; {listed(unclear, most=8)} cannot be distinguished from it"
    return f"{said}."


def comparison_warnings(data: PageData) -> list[str]:
    """Warnings to read before comparing, with those of each run."""
    found, base = [], data.run
    for what, of in (
        ("real images", lambda run: run.run.record["data"]["sha256"]),
        ("oracle", lambda run: sorted(run.metrics["features"].dropna().unique())),
    ):
        other = [run.title for run in data.runs if of(run) != of(base)]
        if other:
            found.append(
                f"Not the same {what} as {base.title}: {listed(other)}. Their numbers differ for "
                "that reason too."
            )
    under_way = [
        f"{run.title} ({len(run.lineages)} of {run.study['lineages']} lineages, {run.census.last} "
        f"of {run.study['generations']} generations)"
        for run in data.runs
        if len(run.lineages) < run.study["lineages"] or run.census.last < run.study["generations"]
    ]
    if under_way:
        found.append(f"Under way: {listed(under_way, most=6)}.")
    found += _by_run((run.title, warnings(run.run, run.census)) for run in data.runs)
    if data.waiting:
        found.append(f"No model has been trained yet: {listed(data.waiting, most=6)}.")
    return found


def _by_run(lines: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Lines of runs by title, each once after the titles of the runs that it is of."""
    found: dict[str, list[str]] = {}
    for title, of_run in lines:
        for line in of_run:
            found.setdefault(line, []).append(title)
    return [f"{listed(titles, most=6)}: {line}" for line, titles in found.items()]


def changed_metrics(run: ReportedRun) -> list[str]:
    """Sentence on the change of the compared metrics from generation 1 on."""
    last, said = run.census.last, []
    for info in run.metric_infos if run.census.last > 1 else ():
        values = series(run.metrics, info.name, "value", last + 1) if info.compared else None
        ends = [] if values is None else mean(values)[[1, last]]
        if len(ends) and np.isfinite(ends).all():
            said.append(f"{info.label} from {value(ends[0])} to {value(ends[1])}")
    return [f"From generation 1 to {last}: {listed(said, most=8)}."] if said else []


def headline(census: CensusArrays) -> list[str]:
    """The result, in a few sentences."""
    if census.last == 0:
        return ["Only the real images are here so far; no model has been trained yet."]
    g = census.last
    later = f" and {_recognized(census, g):.0%} of generation {g}" if g > 1 else ""
    return [
        _vanished(census),
        _diversity(census),
        f"The oracle recognized {_recognized(census, 1):.0%} of generation 1{later}.",
    ]


def explained(drift_test: DriftTest, census: CensusArrays) -> list[str]:
    """Sentences on the part of the class shares' change that drift alone explains."""
    overall = drift_test.selection.overall
    if overall is None:
        return ["No class can tell drift from the model: drift alone would change none of them."]
    p = p_value(overall, len(drift_test.null.shares))
    p = f"p {p}" if p.startswith("≤") else f"p = {p}"
    # The rarest first: they are what the study is about.
    verdicts = [(name, drift_test.words(k)) for k, name in enumerate(census.classes)][::-1]
    lost, favored, rare = (
        [name for name, words in verdicts if words == verdict]
        for verdict in ("the model loses it", "the model favors it", "too rare to tell")
    )
    if overall > LEVEL:
        said = (
            f"Drift alone is enough to explain the class shares ({p}): a perfect learner with as "
            "many images would have moved them as unevenly."
        )
    else:
        parts = [f"loses {listed(lost)}"] * bool(lost)
        parts += [f"favors {listed(favored)}"] * bool(favored)
        which = f"the model {' and '.join(parts)}" if parts else "yet no class stands out"
        said = f"Drift alone does not explain the class shares ({p}): {which}."
    found = [said, _inbreeding(drift_test)]
    if rare:
        whose = "its" if len(rare) == 1 else "their"
        found.append(
            f"Too rare to tell whether drift or the model moved {whose} share: {listed(rare)}; a "
            "model that halves the odds in every generation could look the same."
        )
    return found


def cautions(census: CensusArrays, drift_test: DriftTest | None) -> list[str]:
    """The conclusions that this run does not allow."""
    found, g = [], census.last
    limit, n = census.limit[:, g].mean(axis=0), float(census.recognized[:, g].mean())
    hidden = np.flatnonzero((census.expected[g] < limit) & census.gone.any(axis=0))[::-1]
    below = (census.gone & ~census.extinct[:, g]).any(axis=0) & np.isfinite(limit)
    missed = [k for k in np.flatnonzero(below)[::-1] if k not in hidden]
    if len(hidden):
        names, one = listed([census.classes[k] for k in hidden]), len(hidden) == 1
        found.append(
            f"Whether {names} {'is' if one else 'are'} gone, whatever the status: "
            f"{'its real share is' if one else 'their real shares are'} below the detection limit "
            f"({percent(float(limit[hidden].max()))}), so a class that is still there would be "
            "missed as well."
        )
    if missed:
        names = listed([census.classes[k] for k in missed])
        verb = "is" if len(missed) == 1 else "are"
        where = "" if len(census.lineages) == 1 else " wherever not detected"
        found.append(
            f"That {names} {verb} extinct{where}: below detection means a share of less than "
            f"{percent(float(limit[missed].max()))}, which {n:,.0f} recognized samples cannot tell "
            "from zero. A class is called extinct after three such generations running."
        )
    if g and len(census.lineages) == 1:
        found.append(
            "Which class goes next time: this is one lineage, one course that drift could take."
        )
    unknown = 1 - _recognized(census, g)
    if g and unknown > 1 - FAITHFUL_RECOGNIZED:
        found.append(
            f"What the {percent(unknown)} of generation {g} that are like no real image would be: "
            "class shares are among the recognized samples."
        )
    if drift_test and drift_test.generations < g:
        found.append(
            f"Anything about classes after generation {drift_test.generations}, for nothing was "
            "recognized in the next."
        )
    if drift_test and drift_test.filtered:
        found.append(
            "Whether it is the model or the filters that lose or favor a class: beside drift "
            "stand both together. The filters' effect on each class is shown below."
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


def warnings(run: Run, census: CensusArrays) -> list[str]:
    """Warnings to read before the result."""
    found = ended(run)
    accuracy = run.record["oracle"]["accuracy"]
    if accuracy < TRUSTED_ACCURACY:
        found.append(
            f"The oracle names only {accuracy:.0%} of held-out real images rightly: the shares "
            "below are corrected for that, but wide and only as good as the correction."
        )
    if census.last > 0 and (reasons := _unfaithful(census)):
        found.append(reasons)
    return found


def _recognized(census: CensusArrays, g: int) -> float:
    """Share of generation g that the oracle can name."""
    return float((census.recognized[:, g] / census.n[:, g]).mean())


def _distance(census: CensusArrays) -> float:
    """Total variation between generation 1's class shares and the expected ones."""
    distances = np.abs(census.frequency[:, 1] - census.expected[1]).sum(axis=1) / 2
    return float(np.nan_to_num(distances, nan=1).mean())


def _unfaithful(census: CensusArrays) -> str:
    """Why generation 1 is no copy of the real images, and whose fault that is; empty if it is."""
    recognized, distance, reasons = _recognized(census, 1), _distance(census), []
    if recognized < FAITHFUL_RECOGNIZED:
        reasons.append(f"only {recognized:.1%} of it was recognized")
    if recognized > 0 and distance > FAITHFUL_DISTANCE:
        reasons.append(
            "the total variation between its class shares and those it should have is "
            f"{distance:.3f} (more than {FAITHFUL_DISTANCE})"
        )
    if not reasons:
        return ""
    # Mean absolute deviation of a binomial share, summed over classes and halved.
    p, n = census.expected[1], float(census.n[:, 1].mean())
    scatter = float(np.sqrt(2 * p * (1 - p) / (np.pi * n)).sum() / 2)
    if recognized >= FAITHFUL_RECOGNIZED and distance <= 2 * scatter:
        return (
            f"Generation 1 may not be faithful: {reasons[0]}. Sampling alone gives about "
            f"{scatter:.3f} with {n:,.0f} samples: too few to tell a poor generator from a good."
        )
    return (
        f"Generation 1 was not faithful: {' and '.join(reasons)}. "
        "This shows a poor generator, not collapse."
    )


def _vanished(census: CensusArrays) -> str:
    gone, extinct = census.gone, census.extinct[:, census.last]
    lineages, classes = gone.shape
    when = f"By generation {census.last}"
    # A class that was never detected cannot be said to have vanished.
    ever = census.last_detected >= 0
    lost = gone & ever
    if not np.isfinite(census.frequency[:, census.last]).any():
        return f"{when} nothing is recognized: no sample is like a real image."
    if not lost.any():
        seen = int(ever.any(axis=0).sum())
        all_ = f"all {classes} classes" if seen == classes else f"all {seen} detectable classes"
        return f"{when} {all_} are still detected."
    if lineages == 1:
        names = [
            f"{census.classes[k]} (extinct, called in generation {census.called[0, k]})"
            if extinct[0, k]
            else f"{census.classes[k]} (last detected in generation {census.last_detected[0, k]})"
            for k in np.flatnonzero(lost[0])[::-1]
        ]
        verb = "is" if len(names) == 1 else "are"
        return (
            f"{when}, {len(names)} of {classes} classes {verb} no longer detected: {listed(names)}."
        )
    often = [k for k in (-lost.mean(axis=0)).argsort(kind="stable") if lost[:, k].any()]
    names = [f"{census.classes[k]} (in {lost[:, k].sum()} of {lineages})" for k in often]
    return (
        f"{when}, {lost.sum(axis=1).mean():.1f} of {classes} classes are no longer detected, "
        f"{(extinct & ever).sum(axis=1).mean():.1f} of them extinct, on average over {lineages} "
        f"lineages: {listed(names)}."
    )


def _diversity(census: CensusArrays) -> str:
    values = census.heterozygosity
    first, final = (
        float(h[np.isfinite(h)].mean()) if np.isfinite(h).any() else np.nan
        for h in (values[:, 0], values[:, census.last])
    )
    name = "Heterozygosity, the chance that two samples differ in class,"
    if np.isnan(final) or np.isnan(first):
        nothing = 0 if np.isnan(first) else census.last
        return f"{name} is undefined: nothing in generation {nothing} was recognized."
    if f"{first:.2f}" == f"{final:.2f}":
        return f"{name} stayed at {final:.2f}."
    return f"{name} {'fell' if final < first else 'rose'} from {first:.2f} to {final:.2f}."


def _inbreeding(drift_test: DriftTest) -> str:
    size = drift_test.size.pooled
    if size.value is None or size.low is None or size.high is None:
        return f"The effective population size N_e is undefined: {size.reason}."
    said = (
        f"N_e/n is {ratio(size.value)} (95%: {ratio(size.low)} to {ratio(size.high)}), all "
        "generations together: "
    )
    if size.high < 1:
        return f"{said}the shares moved as if each model had learned from that part of its images."
    if size.low > 1:
        return f"{said}the shares moved less than independent draws do."
    return f"{said}no clear difference from a perfect learner's 1."
