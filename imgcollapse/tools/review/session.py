"""What there is to review: a generation's samples, what the oracle says of them, and an order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from imgcollapse.census import Agreement
from imgcollapse.core import device
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED, Images
from imgcollapse.core.seeds import Seed
from imgcollapse.curation import Picks, PicksTarget
from imgcollapse.curation.picks_file import milliseconds, place
from imgcollapse.io.lock import folder_lock
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.run_dir import Run
from imgcollapse.training.context import RunContext

PATIENCE = 10.0
"""Seconds to wait for somebody else who is saving picks."""
RANDOM = "Random sample"
RANDOM_SIZE = 100
"""Images of the random sample that are shown first; more of it follows from further reviewing."""


@dataclass(frozen=True)
class Group:
    """Samples that are shown together.

    Attributes:
        name: the class the oracle names, `UNRECOGNISED`, or `RANDOM`.
        rows: in the order to be reviewed.
    """

    name: str
    rows: Sequence[int]


@dataclass(frozen=True)
class ReviewSession:
    """The samples of one generation, ready to review.

    Attributes:
        run: the run.
        lineage: the lineage.
        subject: what the picks are about.
        images: the samples; labels are the classes asked for.
        counted: int16[N], what the oracle names them.
        sure: float32[N], its largest probability.
        atypicality: float64[N], the larger the less like a real image.
    """

    run: Run
    lineage: Lineage
    subject: PicksTarget
    images: Images
    counted: Tensor
    sure: Tensor
    atypicality: Tensor

    @classmethod
    def open(cls, folder: Path, generation: int | None = None, number: int = 0) -> ReviewSession:
        """Read a generation, and ask the run's oracle about it.

        Args:
            folder: the run.
            generation: 0 to the last; none is the last.
            number: of the lineage.

        Raises:
            UserError: there is no such generation.
        """
        run = Run.open(folder)
        if not 0 <= number < len(run.lineages):
            raise UserError(f"--lineage: {number} is not there; {folder} has {len(run.lineages)}")
        lineage = run.lineages[number]
        last = lineage.generations - 1
        if generation is None and last < 1:
            raise UserError(f"{folder}: no model has drawn anything yet; run the study on")
        g = last if generation is None else generation
        if not 0 <= g <= last:
            raise UserError(f"--generation: {g} is not there; {folder} has 0 to {last}")
        images, classes = lineage.samples(g), run.record["classes"]
        study = run.study
        where = device.choose_device(study.device, study.precision)
        oracle = study.oracle.build(
            RunContext(Seed((study.seed,)), where, images.shape, len(classes))
        ).load(run.oracle())
        answers = oracle.predict(images.pixels)
        return cls(
            run=run,
            lineage=lineage,
            subject=PicksTarget.at(lineage.path, g),
            images=images,
            counted=lineage.counted(g),
            sure=answers.probabilities.amax(1),
            atypicality=answers.atypicality,
        )

    @property
    def picks(self) -> Picks:
        """What has been said so far, read from the folder."""
        return Picks.of(self.lineage.path, self.subject)

    def accept_answer(self, picks: Picks, now: int) -> Picks:
        """Merge picks with what is in the folder; returns what is there now.

        Args:
            picks: what is to be taken in.
            now: milliseconds since 1970; what is there is held to be no later either.
        """
        path = place(self.lineage.path, self.subject.generation)
        with folder_lock(path.parent, wait=PATIENCE):  # others may be reviewing too
            both = self.picks.not_after(now).merged(picks)
            both.write(self.lineage.path)
        return both

    def accept_file(self, path: Path) -> Path:
        """Merge a file, such as an exported page's picks.json; returns where the picks are.

        Raises:
            UserError: it is no picks file, or not about this generation.
        """
        now = milliseconds()
        self.accept_answer(Picks.read(path, self.subject).not_after(now), now)
        return place(self.lineage.path, self.subject.generation)

    @property
    def groups(self) -> list[Group]:
        """A random sample, then the others by the class named, the largest doubt first."""
        chosen = self.random_order[:RANDOM_SIZE]
        rest = torch.ones(self.subject.size, dtype=torch.bool)
        rest[chosen] = False
        groups = [Group(RANDOM, chosen)]
        for label, name in [*enumerate(self.subject.classes), (UNKNOWN, UNRECOGNIZED)]:
            rows = (rest & (self.counted == label)).nonzero().flatten()
            order = self.uncertainty[rows].argsort(descending=True, stable=True)
            groups.append(Group(name, rows[order].tolist()))
        return [group for group in groups if group.rows]

    @property
    def uncertainty(self) -> Tensor:
        """float64[N], to be compared among samples of one name: the larger the less sure it is."""
        return torch.where(self.counted == UNKNOWN, self.atypicality, 1 - self.sure.double())

    @cached_property
    def random_order(self) -> list[int]:
        """All rows in an order that has nothing to do with what they show.

        They are sorted by the sha256 of "SAMPLES/ROW", so that any program can tell which reviewed
        images are a random sample: nothing of it has to be recorded, or believed.
        """

        def rank(row: int) -> bytes:
            return hashlib.sha256(f"{self.subject.samples}/{row}".encode()).digest()

        return sorted(range(self.subject.size), key=rank)

    def random_reviewed(self, picks: Picks) -> list[int]:
        """The rows that are reviewed without a gap from the start of `random_order`."""
        reviewed, order = picks.reviewed, self.random_order
        gap = next((i for i, row in enumerate(order) if row not in reviewed), len(order))
        return order[:gap]

    def agreement(self, picks: Picks, rows: Sequence[int] | None = None) -> Agreement:
        """People against the oracle, over all reviewed rows or over some of them."""
        said_of, said = picks.classes_said(self.images.labels, self.counted, self.subject.classes)
        if rows is not None:
            chosen = torch.isin(said_of, torch.tensor(rows, dtype=torch.int64))
            said_of, said = said_of[chosen], said[chosen]
        return Agreement.of(said, self.counted[said_of], len(self.subject.classes))
