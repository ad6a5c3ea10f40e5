"""The samples of one generation to review, in order, and a summary of the verdicts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from imgcollapse.census import Agreement
from imgcollapse.core import device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Picks, PicksTarget
from imgcollapse.curation.picks_file import now_ms, picks_path
from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import Run
from imgcollapse.training.context import RunContext

Share = tuple[float, float, float]

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that is saving picks."""
RANDOM = "Random sample"
RANDOM_SIZE = 100
"""Images of the random sample that are shown first; further reviewing extends it."""


class Group(NamedTuple):
    """Rows of samples of one predicted class, of `UNRECOGNIZED` or `RANDOM`, in review order."""

    name: str
    rows: Sequence[int]


@dataclass(frozen=True)
class ReviewSession:
    """The samples of one generation, labeled as asked for, with the oracle's predictions.

    Attributes:
        target: the generation that the picks are about.
        counted: int16[N], the classes predicted by the oracle.
        confidence: float32[N], its largest probability.
        atypicality: float64[N], the larger the less like a real image.
    """

    run: Run
    lineage: Lineage
    target: PicksTarget
    images: Images
    counted: Tensor
    confidence: Tensor
    atypicality: Tensor

    @classmethod
    def open(cls, folder: Path, generation: int | None = None, number: int = 0) -> ReviewSession:
        """Read a generation (None is the last) and let the run's oracle classify it.

        Raises:
            UserError: there is no such generation, or no lineage of that number.
        """
        run = Run.open(folder)
        if not 0 <= number < len(run.lineages):
            raise UserError(f"--lineage: {number} does not exist; use 0 to {len(run.lineages) - 1}")
        lineage = run.lineages[number]
        last = lineage.generations - 1
        if generation is None and last < 1:
            raise UserError(f"{folder}: has no samples yet; resume the run first")
        g = last if generation is None else generation
        if not 0 <= g <= last:
            raise UserError(f"--generation: {g} does not exist; use 0 to {last}")
        images, classes = lineage.samples(g), run.record["classes"]
        study = run.study
        where = device.choose_device(study.device, study.precision)
        context = RunContext(Seed((study.seed,)), where, images.shape, len(classes))
        predictions = study.oracle.build(context).load(run.oracle()).predict(images.pixels)
        return cls(
            run=run,
            lineage=lineage,
            target=PicksTarget.open(lineage.path, g),
            images=images,
            counted=lineage.counted(g),
            confidence=predictions.probabilities.amax(1),
            atypicality=predictions.atypicality,
        )

    @property
    def picks(self) -> Picks:
        """The picks saved so far, read from the folder."""
        return Picks.load(self.lineage.path, self.target)

    def merge_picks(self, picks: Picks, now: int) -> Picks:
        """Merge picks with those in the folder, whose times are at most `now`, and save them."""
        path = picks_path(self.lineage.path, self.target.generation)
        with folder_lock(path.parent, wait=LOCK_TIMEOUT):  # another process may be saving
            both = self.picks.clip_times(now).merged(picks)
            both.write(self.lineage.path)
        return both

    def import_picks(self, path: Path) -> Path:
        """Merge a file, such as the picks.json of an exported page; returns the picks file's path.

        Raises:
            UserError: it is not a picks file, or not about this generation.
        """
        now = now_ms()
        self.merge_picks(Picks.read(path, self.target).clip_times(now), now)
        return picks_path(self.lineage.path, self.target.generation)

    @property
    def groups(self) -> list[Group]:
        """A random sample, then the others by predicted class, the most uncertain first."""
        first = self.random_order[:RANDOM_SIZE]
        rest = torch.ones(self.target.size, dtype=torch.bool)
        rest[first] = False
        groups = [Group(RANDOM, first)]
        for label, name in [*enumerate(self.target.classes), (UNKNOWN, UNRECOGNIZED)]:
            rows = (rest & (self.counted == label)).nonzero().flatten()
            order = self.uncertainty[rows].argsort(descending=True, stable=True)
            groups.append(Group(name, rows[order].tolist()))
        return [group for group in groups if group.rows]

    @property
    def uncertainty(self) -> Tensor:
        """float64[N], comparable among samples of one predicted class."""
        return torch.where(self.counted == UNKNOWN, self.atypicality, 1 - self.confidence.double())

    @cached_property
    def random_order(self) -> list[int]:
        """All rows in an order that is independent of what the images show.

        Rows are sorted by the sha256 of "SAMPLES/ROW", so that any program can recompute which
        reviewed images are a random sample.
        """

        def rank(row: int) -> bytes:
            return hashlib.sha256(f"{self.target.samples}/{row}".encode()).digest()

        return sorted(range(self.target.size), key=rank)

    def random_reviewed(self, picks: Picks) -> list[int]:
        """Return the longest start of `random_order` in which all rows are reviewed."""
        reviewed, order = picks.reviewed, self.random_order
        gap = next((i for i, row in enumerate(order) if row not in reviewed), len(order))
        return order[:gap]

    def agreement(self, picks: Picks, rows: Sequence[int] | None = None) -> Agreement:
        """Compare people with the oracle, over all reviewed rows or the given ones."""
        labeled, labels = picks.named_classes(self.images.labels, self.counted, self.target.classes)
        if rows is not None:
            chosen = torch.isin(labeled, torch.tensor(rows, dtype=torch.int64))
            labeled, labels = labeled[chosen], labels[chosen]
        return Agreement.of(labels, self.counted[labeled], len(self.target.classes))


def summarize(session: ReviewSession, console: Console) -> None:
    """Print the progress of a review, the agreement with the oracle, and class shares by people.

    Class shares and the oracle's accuracy are estimated from the random sample alone; agreement by
    class is over everything reviewed, where uncertain images come first.
    """
    picks, classes = session.picks, session.target.classes
    random = session.random_reviewed(picks)
    random_part, everything = session.agreement(picks, random), session.agreement(picks)
    census = session.lineage.census
    census = census.loc[census["generation"] == session.target.generation]
    table = Table("class", "reviewed", "agreed", "people's share", "census", "note")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for label, (name, share) in enumerate(zip(classes, random_part.shares(), strict=True)):
        counted, low, high = census[["frequency", "low", "high"]].iloc[label]
        frequency = "" if math.isnan(counted) else f"{counted:.1%}"
        agreed = _agreed(everything, label)
        note = _difference(share, low, high)
        table.add_row(Text(name), *agreed, _interval(share), frequency, note)
    table.add_row("nonsense", *_agreed(everything, -1), "", "", "")
    console.print(table)
    for line in _lines(session, random, random_part, everything):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress(session: ReviewSession) -> str:
    """Return the progress of a review in one line."""
    picks, g = session.picks, session.target.generation
    verdicts = [pick.verdict for pick in picks.reviewed.values()]
    return (
        f"{len(verdicts):,} of {session.target.size:,} samples of generation {g} reviewed: "
        f"{verdicts.count('keep'):,} kept, {verdicts.count('class'):,} renamed, "
        f"{verdicts.count('reject'):,} rejected, {verdicts.count('nonsense'):,} nonsense; "
        + ("marked as done." if picks.finished else "not marked as done.")
    )


def _lines(
    session: ReviewSession, random: list[int], random_part: Agreement, everything: Agreement
) -> list[str]:
    lines = [progress(session)]
    if random_part.accuracy:
        unnamed = len(random) - random_part.n
        lines.append(
            f"On a random sample of {len(random):,} the oracle agrees with people on "
            f"{_interval(random_part.accuracy)}"
            + (f"; {unnamed} without a class are left out." if unnamed else ".")
        )
    else:
        lines.append(
            "No image of the random sample is reviewed yet: the uncertain images alone are not "
            "representative of the generation."
        )
    if everything.accuracy:
        lines.append(
            f"Of all {everything.n:,} with a class it agrees on {everything.accuracy[0]:.1%}; "
            "this does not estimate the generation, as uncertain images come first."
        )
    return lines


def _agreed(everything: Agreement, label: int) -> tuple[str, str]:
    """How many images people gave a class, and how many of them the oracle."""
    row = everything.confusion[label]
    return f"{int(row.sum()):,}", f"{int(row[label]):,}"


def _interval(share: Share | None) -> str:
    return "" if share is None else "{:.1%} ({:.1%} to {:.1%})".format(*share)


def _difference(share: Share | None, low: float, high: float) -> str:
    """Return "differs" if the intervals of people and census do not overlap."""
    if share is None or math.isnan(low):
        return ""
    return "differs" if share[1] > high or share[2] < low else ""
