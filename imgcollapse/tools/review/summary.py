"""People against the oracle, as text."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgcollapse.census import Agreement
from imgcollapse.tools.review.session import ReviewSession

Share = tuple[float, float, float]


def summarise(sitting: ReviewSession, console: Console) -> None:
    """Print how far a sitting is, how often people agree with the oracle, and what they count.

    Shares of the generation and the oracle's accuracy are taken from the random sample alone;
    agreement by class is over everything reviewed, and the doubtful come first there.
    """
    picks, classes = sitting.picks, sitting.subject.classes
    random = sitting.random_reviewed(picks)
    fair, everything = sitting.agreement(picks, random), sitting.agreement(picks)
    census = sitting.lineage.census
    census = census.loc[census["generation"] == sitting.subject.generation]
    table = Table("class", "reviewed", "agreed", "people's share", "census", "note")
    for column in table.columns[1:]:
        column.justify = "right"
    table.columns[-1].justify = "left"
    for label, (name, share) in enumerate(zip(classes, fair.shares(), strict=True)):
        row = everything.confusion[label]
        counted = census["frequency"].iloc[label]
        table.add_row(
            Text(name),
            f"{int(row.sum()):,}",
            f"{int(row[label]):,}",
            _interval(share),
            "" if math.isnan(counted) else f"{counted:.1%}",
            _verdict(share, census["low"].iloc[label], census["high"].iloc[label]),
        )
    row = everything.confusion[-1]
    table.add_row("nonsense", f"{int(row.sum()):,}", f"{int(row[-1]):,}", "", "", "")
    console.print(table)
    for line in _lines(sitting, random, fair, everything):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress(sitting: ReviewSession) -> str:
    """How far a sitting is, in a line."""
    picks, g = sitting.picks, sitting.subject.generation
    kinds = [pick.verdict for pick in picks.reviewed.values()]
    return (
        f"{len(kinds):,} of {sitting.subject.size:,} samples of generation {g} reviewed: "
        f"{kinds.count('keep'):,} kept, {kinds.count('class'):,} renamed, "
        f"{kinds.count('reject'):,} rejected, {kinds.count('nonsense'):,} nonsense; "
        + ("marked as done." if picks.finished else "not marked as done.")
    )


def _lines(
    sitting: ReviewSession, random: list[int], fair: Agreement, everything: Agreement
) -> list[str]:
    lines = [progress(sitting)]
    if fair.accuracy:
        silent = len(random) - fair.n
        lines.append(
            f"On a random sample of {len(random):,} the oracle names {_interval(fair.accuracy)} "
            "as people do"
            + (f"; of {silent} no class was said, and they are left out." if silent else ".")
        )
    else:
        lines.append(
            "The random sample is not begun: the doubtful ones alone say nothing about the whole "
            "generation."
        )
    if everything.accuracy:
        lines.append(
            f"Of all {everything.n:,} that people named it names {everything.accuracy[0]:.1%} so, "
            "which is no estimate for the generation: the doubtful ones were looked at first."
        )
    return lines


def _interval(share: Share | None) -> str:
    return "" if share is None else "{:.1%} ({:.1%} to {:.1%})".format(*share)


def _verdict(share: Share | None, low: float, high: float) -> str:
    """Where people and the census cannot both be right."""
    if share is None or math.isnan(low):
        return ""
    return "differs" if share[1] > high or share[2] < low else ""
