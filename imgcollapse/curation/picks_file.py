"""Reads and writes people's verdicts on samples: picks/gen_GGG.json in a lineage's folder.

The file may come from an unknown source, so all of it is validated against the generation that it
says it is about.
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

MAX_BYTES = 32 * 2**20
"""Largest picks file that is read; 100,000 verdicts take about 8 MB."""

DROPPED = ("reject", "nonsense")

Row = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class PicksTarget:
    """The generation that picks are about."""

    lineage: int
    generation: int
    samples: str  # sha256 of its samples.safetensors
    size: int  # number of its samples
    classes: Sequence[str]  # K names; a label is an index into them

    @classmethod
    def open(cls, folder: Path, generation: int) -> PicksTarget:
        """Read the target from a lineage's folder; a UserError if it is missing or damaged."""
        committed, fix = folder / f"gen_{generation:03d}", "restore it"
        run, number = find_run(folder)
        manifest = checksums.read_json(committed / "manifest.json", fix)
        schemas.validate_manifest(committed / "manifest.json", manifest, fix)
        record = checksums.read_json(run / "run.json", fix)
        schemas.validate_run_record(run / "run.json", record, fix)
        path = committed / "samples.safetensors"
        try:
            with safe_open(path, "pt") as file:
                size = file.get_slice("labels").get_shape()[0]
        except (OSError, SafetensorError, IndexError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {fix}") from None
        samples = manifest["files"].get(path.name, "")
        return cls(number, generation, samples, size, record["classes"])


class Pick(BaseModel):
    """One verdict on one sample; None is a withdrawn verdict.

    "keep" says that its label is right, "class" that it shows another class, "reject" that no model
    should be trained on it, "nonsense" that it shows no class.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True
    )

    verdict: Literal["keep", "reject", "class", "nonsense"] | None
    name: str | None = Field(default=None, alias="class", exclude_if=lambda name: name is None)
    at: Milliseconds  # since 1970; of two verdicts on a row the later one holds

    @model_validator(mode="after")
    def _names_a_class(self) -> Self:
        if (self.verdict == "class") != (self.name is not None):
            raise ValueError('give a class with the verdict "class", and only there')
        return self


class Picks(BaseModel):
    """All verdicts on one generation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    lineage: Annotated[int, Field(ge=0)]
    generation: Annotated[int, Field(ge=0)]
    samples: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    finished: bool = False  # so that a waiting run may go on
    finished_at: Milliseconds = 0
    picks: dict[Row, Pick] = {}

    @classmethod
    def empty(cls, target: PicksTarget) -> Picks:
        """Return picks without any verdict."""
        return cls(lineage=target.lineage, generation=target.generation, samples=target.samples)

    @classmethod
    def read(cls, path: Path, target: PicksTarget) -> Picks:
        """Read and validate a picks file.

        Raises:
            UserError: it cannot be read, is not a picks file, or is not about `target`.
        """
        with atomic.wrap_os_errors(path):
            if path.is_fifo():  # reading it would block
                raise UserError(f"{path}: is a pipe; {_FIX}")
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES // 2**20} MiB; remove it")
        try:
            picks = cls.model_validate_json(checksums.strip_checksum(data))
            picks.check(target)
        except ValidationError as error:
            raise UserError(f"{path}: no valid picks ({first_problem(error)}); {_FIX}") from None
        except ValueError as error:
            raise UserError(f"{path}: {error}; {_FIX}") from None
        return picks

    @classmethod
    def load(cls, folder: Path, target: PicksTarget) -> Picks:
        """Read the picks of a lineage's folder, empty if there are none; raises as `read`."""
        path = atomic.restore(picks_path(folder, target.generation))
        return cls.read(path, target) if path.exists() else cls.empty(target)

    def check(self, target: PicksTarget) -> None:
        """Raise a ValueError that says why these picks are not about `target`, if they are not."""
        for name in ("lineage", "generation"):
            own, expected = getattr(self, name), getattr(target, name)
            if own != expected:
                raise ValueError(f"is about {name} {own}, not {expected}")
        if self.samples != target.samples:
            raise ValueError(
                f"is about other samples of generation {self.generation} (sha256 "
                f"{self.samples[:12]}, here {target.samples[:12]}): those of another run"
            )
        known = set(target.classes)
        for row, pick in self.picks.items():
            if int(row) >= target.size:
                raise ValueError(f"row {row} does not exist: the generation has {target.size}")
            if pick.name is not None and pick.name not in known:
                raise ValueError(f"row {row}: the run has no class {_short(pick.name)}")

    def merged(self, other: Picks) -> Picks:
        """Return both; of two verdicts on a row the later, of equally late ones the other's."""
        later = {
            row: pick
            for row, pick in other.picks.items()
            if row not in self.picks or pick.at >= self.picks[row].at
        }
        latest = max(self, other, key=lambda picks: (picks.finished_at, picks.finished))
        picks = dict(sorted({**self.picks, **later}.items(), key=lambda item: int(item[0])))
        changes = {"picks": picks, "finished": latest.finished, "finished_at": latest.finished_at}
        return self.model_copy(update=changes)

    def clip_times(self, now: int) -> Picks:
        """Return picks with no time after `now`, so that a fast clock does not win forever."""
        clipped = {
            row: pick.model_copy(update={"at": min(pick.at, now)})
            for row, pick in self.picks.items()
        }
        return self.model_copy(update={"picks": clipped, "finished_at": min(self.finished_at, now)})

    def write(self, folder: Path) -> Path:
        """Replace the file in a lineage's folder atomically; returns its path."""
        path = picks_path(folder, self.generation)
        atomic.make_folder(path.parent)
        if path.parent.is_symlink():  # a run folder may come from an unknown source
            raise UserError(f"{path.parent}: is a link out of the run folder; remove it")
        checksums.write_json(path, self.model_dump(mode="json"))
        return path

    @property
    def reviewed(self) -> dict[int, Pick]:
        """The verdicts that hold, by row."""
        return {int(row): pick for row, pick in self.picks.items() if pick.verdict is not None}

    def dropped(self, size: int) -> Tensor:
        """Mask of the samples not to train on: bool[size]."""
        rows = [row for row, pick in self.reviewed.items() if pick.verdict in DROPPED]
        return torch.zeros(size, dtype=torch.bool).index_fill_(0, _index(rows), True)

    def corrected(self, labels: Tensor, classes: Sequence[str]) -> Tensor:
        """Return int16[N] labels, replaced by the classes that people named."""
        number = {name: label for label, name in enumerate(classes)}
        named = {row: number[p.name] for row, p in self.reviewed.items() if p.name is not None}
        corrected = labels.clone()
        corrected[_index(named)] = torch.tensor(list(named.values()), dtype=labels.dtype)
        return corrected

    def named_classes(
        self, labels: Tensor, counted: Tensor, classes: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Return the classes of samples according to people: int64[M] rows, in order, and int16[M].

        `labels` and `counted` are int16[N], asked for and predicted by the oracle, or `UNKNOWN`. A
        kept sample has the class of its label, else the predicted one; nonsense is `UNKNOWN`. A
        rejected sample is left out, and so is a kept one without either.
        """
        assumed = torch.where(labels == UNKNOWN, counted, labels)
        corrected = self.corrected(assumed, classes)
        named = {
            row: UNKNOWN if pick.verdict == "nonsense" else int(corrected[row])
            for row, pick in sorted(self.reviewed.items())
            if pick.verdict != "reject" and (pick.verdict != "keep" or corrected[row] != UNKNOWN)
        }
        return _index(named), torch.tensor(list(named.values()), dtype=torch.int16)


def picks_path(folder: Path, generation: int) -> Path:
    """Return the path of a generation's picks file in its lineage's folder."""
    return folder / "picks" / f"gen_{generation:03d}.json"


def find_run(folder: Path) -> tuple[Path, int]:
    """Return the run folder of a lineage's folder, and the lineage's number."""
    if (folder / "run.json").is_file():  # a single lineage is in the run folder itself
        return folder, 0
    number = re.fullmatch(r"lineage_(\d+)", folder.resolve().name)
    return folder.parent, int(number[1]) if number else 0


def now_ms() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a validation error in one short line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(_short(str(part)) for part in problem["loc"])
    return " ".join(f"{where}: {problem['msg']}".removeprefix(": ").split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")[1:-1]


def _index(rows: Sequence[int] | Mapping[int, Any]) -> Tensor:
    return torch.tensor(list(rows), dtype=torch.int64)


_FIX = "correct it or remove it, and review again"
