"""What people say of a generation's samples: picks/gen_GGG.json in a lineage's folder.

The file lies outside the sealed folders of the generations. It may come from anywhere, so nothing
in it is believed before it is checked against the generation that it says it is about.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.io import atomic, checksums, schemas

LARGEST = 32 * 2**20
"""Bytes of a picks file that are read; 100,000 verdicts are some 8 MB."""

DROPPED = ("reject", "nonsense")

Row = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class PicksTarget:
    """The generation that picks are about.

    Attributes:
        lineage: its lineage's number.
        generation: its own.
        samples: sha256 of its samples.safetensors.
        size: how many samples it has.
        classes: K names; the label of a class is its place.
    """

    lineage: int
    generation: int
    samples: str
    size: int
    classes: Sequence[str]

    @classmethod
    def at(cls, folder: Path, generation: int) -> PicksTarget:
        """What generation `generation` in a lineage's folder is.

        Raises:
            UserError: it is not there, or the run folder is damaged.
        """
        committed, mend = folder / f"gen_{generation:03d}", "restore it"
        run, number = run_of(folder)
        manifest = checksums.read_json(committed / "manifest.json", mend)
        schemas.validate_manifest(committed / "manifest.json", manifest, mend)
        record = checksums.read_json(run / "run.json", mend)
        schemas.validate_run_record(run / "run.json", record, mend)
        path = committed / "samples.safetensors"
        try:
            with safe_open(path, "pt") as file:
                size = file.get_slice("labels").get_shape()[0]
        except (OSError, SafetensorError, IndexError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {mend}") from None
        return cls(
            lineage=number,
            generation=generation,
            samples=manifest["files"].get(path.name, ""),
            size=size,
            classes=record["classes"],
        )


class Pick(BaseModel):
    """What is said of one sample, and when.

    Attributes:
        verdict: "keep" (it is what its label says), "class" (it is really of that class), "reject"
            (it is not to be trained on, whatever it is), "nonsense" (it is of no class), or None
            where a verdict was taken back.
        name: the class's name, with the verdict "class" alone.
        at: milliseconds since 1970; of two verdicts on a row the later holds.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True
    )

    verdict: Literal["keep", "reject", "class", "nonsense"] | None
    name: str | None = Field(default=None, alias="class", exclude_if=lambda name: name is None)
    at: Milliseconds

    @model_validator(mode="after")
    def _names_a_class(self) -> Self:
        if (self.verdict == "class") != (self.name is not None):
            raise ValueError('a class belongs to the verdict "class", and to no other')
        return self


class Picks(BaseModel):
    """All that is said of one generation.

    Attributes:
        format: of the file.
        lineage: as in `Subject`.
        generation: as in `Subject`.
        samples: as in `Subject`.
        finished: whether those who review are done, so that a run that waits may go on.
        finished_at: when that was said.
        picks: verdicts by row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    lineage: Annotated[int, Field(ge=0)]
    generation: Annotated[int, Field(ge=0)]
    samples: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    finished: bool = False
    finished_at: Milliseconds = 0
    picks: dict[Row, Pick] = {}

    @classmethod
    def none(cls, subject: PicksTarget) -> Picks:
        """Nothing said yet."""
        return cls(lineage=subject.lineage, generation=subject.generation, samples=subject.samples)

    @classmethod
    def read(cls, path: Path, subject: PicksTarget) -> Picks:
        """Picks from a file that may hold anything.

        Raises:
            UserError: it cannot be read, is no picks file, or is not about `subject`.
        """
        with atomic.wrap_os_errors(path):
            if path.is_fifo():  # it would be waited for
                raise UserError(f"{path}: is a pipe; {_MEND}")
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UserError(f"{path}: larger than {LARGEST // 2**20} MiB, so no picks; remove it")
        try:
            picks = cls.model_validate_json(checksums.strip_checksum(data))
            picks.check(subject)
        except ValidationError as error:
            raise UserError(f"{path}: no valid picks ({first(error)}); {_MEND}") from None
        except ValueError as error:
            raise UserError(f"{path}: {error}; {_MEND}") from None
        return picks

    @classmethod
    def of(cls, folder: Path, subject: PicksTarget) -> Picks:
        """What has been said so far in a lineage's folder; raises as `read`."""
        path = place(folder, subject.generation)
        return cls.read(path, subject) if path.exists() else cls.none(subject)

    def check(self, subject: PicksTarget) -> None:
        """See that these picks are about `subject`.

        Raises:
            ValueError: they are not; it says why.
        """
        for name in ("lineage", "generation"):
            mine, asked = getattr(self, name), getattr(subject, name)
            if mine != asked:
                raise ValueError(f"is about {name} {mine}, not {asked}")
        if self.samples != subject.samples:
            raise ValueError(
                f"is about other samples of generation {self.generation} (sha256 "
                f"{self.samples[:12]}, here {subject.samples[:12]}): those of another run"
            )
        known = set(subject.classes)
        for row, pick in self.picks.items():
            if int(row) >= subject.size:
                raise ValueError(f"row {row} is not there: the generation has {subject.size}")
            if pick.name is not None and pick.name not in known:
                raise ValueError(f"row {row}: the run has no class {_short(pick.name)}")

    def merged(self, other: Picks) -> Picks:
        """Both, of two verdicts on a row the later; of two equally late ones the other's."""
        later = {
            row: pick
            for row, pick in other.picks.items()
            if row not in self.picks or pick.at >= self.picks[row].at
        }
        done = max(self, other, key=lambda picks: (picks.finished_at, picks.finished))
        said = dict(sorted({**self.picks, **later}.items(), key=lambda item: int(item[0])))
        changes = {"picks": said, "finished": done.finished, "finished_at": done.finished_at}
        return self.model_copy(update=changes)

    def not_after(self, now: int) -> Picks:
        """The same with no time later than `now`: a clock that is fast must not win for ever."""
        held = {
            row: pick.model_copy(update={"at": min(pick.at, now)})
            for row, pick in self.picks.items()
        }
        return self.model_copy(update={"picks": held, "finished_at": min(self.finished_at, now)})

    def write(self, folder: Path) -> Path:
        """Replace the file in a lineage's folder as a whole; returns where it is."""
        path = place(folder, self.generation)
        atomic.make_folder(path.parent)
        if path.parent.is_symlink():  # a run folder may come from anybody
            raise UserError(f"{path.parent}: is a link out of the run folder; remove it")
        checksums.write_json(path, self.model_dump(mode="json"))
        return path

    @property
    def reviewed(self) -> dict[int, Pick]:
        """The verdicts that stand, by row."""
        return {int(row): pick for row, pick in self.picks.items() if pick.verdict is not None}

    def dropped(self, size: int) -> Tensor:
        """bool[size], which samples are not to be trained on."""
        rows = [row for row, pick in self.reviewed.items() if pick.verdict in DROPPED]
        return torch.zeros(size, dtype=torch.bool).index_fill_(0, _index(rows), True)

    def corrected(self, labels: Tensor, classes: Sequence[str]) -> Tensor:
        """int16[N] labels with the classes that people named in place of the old ones."""
        number = {name: label for label, name in enumerate(classes)}
        named = {row: number[p.name] for row, p in self.reviewed.items() if p.name is not None}
        corrected = labels.clone()
        corrected[_index(named)] = torch.tensor(list(named.values()), dtype=labels.dtype)
        return corrected

    def classes_said(
        self, labels: Tensor, counted: Tensor, classes: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """What people say that samples are.

        A kept sample is what its label says, or where it has none what the oracle names it. A
        rejected one may be anything, and so may one that was kept without anybody's name.

        Args:
            labels: int16[N], the classes that were asked for, or `UNKNOWN`.
            counted: int16[N], what the oracle names them, or `UNKNOWN`.
            classes: K names.

        Returns:
            int64[M] rows of which a class is said, in order, and int16[M], the class, `UNKNOWN` for
            nonsense.
        """
        taken = torch.where(labels == UNKNOWN, counted, labels)
        there = self.corrected(taken, classes)
        said = {
            row: UNKNOWN if pick.verdict == "nonsense" else int(there[row])
            for row, pick in sorted(self.reviewed.items())
            if pick.verdict != "reject" and (pick.verdict != "keep" or there[row] != UNKNOWN)
        }
        return _index(said), torch.tensor(list(said.values()), dtype=torch.int16)


def place(folder: Path, generation: int) -> Path:
    """Where the picks of a generation lie in its lineage's folder."""
    return folder / "picks" / f"gen_{generation:03d}.json"


def run_of(folder: Path) -> tuple[Path, int]:
    """The run that a lineage's folder belongs to, and the lineage's number there."""
    if (folder / "run.json").is_file():  # a single lineage lies in the run's, whatever its name
        return folder, 0
    number = re.fullmatch(r"lineage_(\d+)", folder.resolve().name)
    return folder.parent, int(number[1]) if number else 0


def milliseconds() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def first(error: ValidationError) -> str:
    """The first thing that is wrong, in one short line."""
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(_short(str(part)) for part in found["loc"])
    return " ".join(f"{where}: {found['msg']}".removeprefix(": ").split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")[1:-1]


def _index(rows: Sequence[int] | Mapping[int, Any]) -> Tensor:
    return torch.tensor(list(rows), dtype=torch.int64)


_MEND = "mend it or remove it, and review again"
