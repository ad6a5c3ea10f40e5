"""The run folder: commit, resume, read back.

The layout is a public contract (docs/run-folder.md). A generation appears in it by one rename;
census.csv and metrics.csv are derived from the committed generations and can always be made again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from imgcollapse import census, metrics
from imgcollapse.core import storage
from imgcollapse.core.archive import TrainingSet
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images

FORMAT = 1
RECORD, MANIFEST, SAMPLES = "run.json", "manifest.json", "samples.safetensors"
ORACLE, SPLITS = "oracle.safetensors", "splits.safetensors"
CHANGEABLE = ("generations", "data.root", "data.path", "data.download", "oracle.weights")
"""Settings that may differ when a run goes on: the rest, and the images' hash, may not."""


class Lineage:
    """One chain of generations and the folder it lies in.

    Attributes:
        path: the folder.
        number: which repetition of the study it is, from 0.
    """

    def __init__(self, path: Path, number: int = 0) -> None:
        self.path = path
        self.number = number
        self._manifests: dict[int, dict[str, Any]] = {}

    @property
    def generations(self) -> int:
        """How many generations are committed, the real generation 0 included."""
        count = 0
        while (self.folder(count) / MANIFEST).is_file():
            count += 1
        return count

    def folder(self, g: int) -> Path:
        """Where generation g lies."""
        return self.path / f"gen_{g:03d}"

    def samples(self, g: int) -> Images:
        """The images of generation g, memory-mapped; labels are the classes asked for."""
        tensors = self._load(g, SAMPLES)
        return Images(tensors["pixels"], tensors["labels"])

    def counted(self, g: int) -> Tensor:
        """int16[N], the class the oracle named for each sample, or -1."""
        return self._load(g, SAMPLES)["counted"]

    def training_set(self, g: int) -> TrainingSet:
        """Which images the g-th model was trained on, g >= 1."""
        return TrainingSet(**self._load(g, "training_set.safetensors"))

    def model(self, g: int) -> dict[str, Tensor]:
        """State of the g-th model, g >= 1."""
        return self._load(g, "model.safetensors")

    def manifest(self, g: int) -> dict[str, Any]:
        """What was written about generation g: file hashes, findings, seconds by stage."""
        if g not in self._manifests:  # what is committed does not change
            self._manifests[g] = _read_json(self.folder(g) / MANIFEST, _TRAIN_AGAIN)
        return self._manifests[g]

    @property
    def census(self) -> pd.DataFrame:
        """All census rows so far."""
        return self._table("census", census.COLUMNS)

    @property
    def metrics(self) -> pd.DataFrame:
        """All metric rows so far."""
        return self._table("metrics", metrics.COLUMNS)

    def commit(
        self,
        g: int,
        samples: Images,
        counted: Tensor,
        grid: Image.Image,
        findings: Mapping[str, Any],
        training_set: TrainingSet | None = None,
        model: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write generation g aside and let it appear as a whole, then bring the tables up to date.

        Args:
            g: its number.
            samples: its images, real ones for g = 0.
            counted: int16[N], what the oracle named them.
            grid: a picture of some of them.
            findings: "census" and "metrics" rows, and whatever else is known about the making.
            training_set: what its model was trained on (g >= 1).
            model: its model's state (g >= 1).
        """
        with storage.new_folder(self.folder(g)) as folder:
            pixels = {"pixels": samples.pixels, "labels": samples.labels, "counted": counted}
            storage.write_tensors(folder / SAMPLES, pixels)
            if training_set is not None:
                storage.write_tensors(folder / "training_set.safetensors", vars(training_set))
            if model is not None:
                storage.write_tensors(folder / "model.safetensors", model)
            storage.write_png(folder / "grid.png", grid)
            with storage.explained(folder):
                files = {p.name: storage.sha256(p) for p in sorted(folder.iterdir())}
            storage.write_json(folder / MANIFEST, {"generation": g, "files": files, **findings})
        self.write_tables()
        self.log("generation", generation=g, seconds=findings.get("seconds"))

    def resume(self) -> range:
        """Make the folder whole again after an interruption.

        Returns:
            The numbers of the committed generations after generation 0.
        """
        storage.make_folder(self.path)
        storage.sweep_orphans(self.path)
        done = self.generations
        later = sorted(p.name for p in self.path.glob("gen_*") if p.name > self.folder(done).name)
        if later:
            raise UserError(
                f"{self.folder(done)}: is missing but {later[0]}, which descends from it, is "
                f"there; restore it, or remove {later[0]} and all after it to train them again"
            )
        if done:
            self.write_tables()
        self.log("start", generations=self.generations)
        return range(1, self.generations)

    def write_tables(self) -> None:
        """Derive census.csv and metrics.csv from the committed generations."""
        write_table(self.path / "census.csv", self.census)
        write_table(self.path / "metrics.csv", self.metrics)

    def log(self, event: str, **facts: Any) -> None:
        """Append to events.jsonl."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}
        with storage.explained(self.path), (self.path / "events.jsonl").open("ab+") as file:
            # A line that a crash cut short must not swallow this one.
            if file.tell() and file.seek(-1, os.SEEK_END) and file.read() != b"\n":
                file.write(b"\n")
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _load(self, g: int, name: str) -> dict[str, Tensor]:
        return _read_tensors(self.folder(g) / name, _TRAIN_AGAIN)

    def _table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        rows = [row for g in range(self.generations) for row in self.manifest(g)[name]]
        table = pd.DataFrame(rows, columns=list(columns))
        # A count that is undefined in places must not turn the others into floats.
        kinds = dict.fromkeys(("n", "asked", "counted", "reference_n"), "Int64")
        kinds |= dict.fromkeys(("drift_low", "drift_high"), "float64")
        return table.astype({c: kind for c, kind in kinds.items() if c in table})


class Run:
    """A study's folder: its record, its oracle and its lineages.

    Attributes:
        path: the folder.
        record: the contents of run.json.
        lineages: one `Lineage` for each repetition; a single one shares the study's folder.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        count = record["study"]["lineages"]
        self.lineages = (
            [Lineage(path)]
            if count == 1
            else [Lineage(path / f"lineage_{i:03d}", i) for i in range(count)]
        )

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Read a run folder.

        Raises:
            UserError: it is none, or of a format this program does not know.
        """
        path = Path(path)
        with storage.explained(path):
            if not (path / RECORD).is_file():
                raise UserError(
                    f"{path}: not a run folder (no {RECORD}); name one, such as runs/demo"
                )
        record = _read_json(path / RECORD, "restore it, or choose another --out")
        if record.get("format") != FORMAT:
            raise UserError(
                f"{path / RECORD}: format {record.get('format')} is not {FORMAT}; read it with the "
                "imgcollapse version it names"
            )
        return cls(path, record)

    @classmethod
    def find(cls, path: Path, study: Mapping[str, Any]) -> Run | None:
        """The run of this study in `path`, or None where nothing has begun; writes nothing.

        Raises:
            UserError: the folder holds something else, or another study's run.
        """
        with storage.explained(path):
            begun = (path / RECORD).is_file()
            held = [p.name for p in path.iterdir()] if path.exists() and not begun else []
        if not begun:
            foreign = sorted(n for n in held if n not in (ORACLE, SPLITS) and ".tmp" not in n)
            if foreign:
                raise UserError(
                    f"{path}: not empty and not a run folder (it holds {foreign[0]}); choose "
                    "another --out"
                )
            return None
        run = cls.open(path)
        for key, mine, theirs in _differences(study, run.record["study"]):
            if key not in CHANGEABLE:
                raise UserError(
                    f"{path}: belongs to another study ({key} is {theirs!r} there, {mine!r} here); "
                    "choose another --out"
                )
        return run

    @classmethod
    def begin(
        cls,
        path: Path,
        record: Mapping[str, Any],
        oracle: Mapping[str, Tensor],
        splits: Mapping[str, Tensor],
    ) -> Run:
        """Make the folder; run.json comes last, so that a run has begun or it has not."""
        storage.make_folder(path)
        storage.write_tensors(path / ORACLE, oracle)
        storage.write_tensors(path / SPLITS, splits)
        full = {"format": FORMAT, **record}
        storage.write_json(path / RECORD, full)
        return cls(path, full)

    def extend(self, study: Mapping[str, Any]) -> None:
        """Take over the settings that may change between two sittings.

        Raises:
            UserError: fewer generations are asked for than are there.
        """
        done = max(lineage.generations for lineage in self.lineages) - 1
        if study["generations"] < done:
            raise UserError(
                f"generations: {study['generations']} is fewer than the {done} in {self.path}; "
                "ask for at least as many, or choose another --out"
            )
        if self.record["study"] != study:
            self.record["study"] = dict(study)
            storage.write_json(self.path / RECORD, self.record)

    def oracle(self) -> dict[str, Tensor]:
        """State of the oracle."""
        return _read_tensors(self.path / ORACLE, "restore it, or choose another --out")

    @property
    def census(self) -> pd.DataFrame:
        """census.csv; with several lineages it has a leading `lineage` column."""
        return self._over_lineages([lineage.census for lineage in self.lineages])

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv; with several lineages it has a leading `lineage` column."""
        return self._over_lineages([lineage.metrics for lineage in self.lineages])

    def write_tables(self) -> None:
        """Write the tables over all lineages."""
        write_table(self.path / "census.csv", self.census)
        write_table(self.path / "metrics.csv", self.metrics)

    def _over_lineages(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        if len(tables) == 1:
            return tables[0]
        for lineage, table in zip(self.lineages, tables, strict=True):
            table.insert(0, "lineage", lineage.number)
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Replace a CSV file as a whole; undefined values are empty."""
    storage.write_bytes(path, table.to_csv(index=False).encode())


def _differences(mine: Any, theirs: Any, above: str = "") -> list[tuple[str, Any, Any]]:
    if not (isinstance(mine, Mapping) and isinstance(theirs, Mapping)):
        return [] if mine == theirs else [(above, mine, theirs)]
    found = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        below = f"{above}.{key}" if above else str(key)
        found += _differences(mine.get(key), theirs.get(key), below)
    return found


_TRAIN_AGAIN = "restore it, or remove this and all later generations to train them again"


def _read_json(path: Path, mend: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error, mend) from None


def _read_tensors(path: Path, mend: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error, mend) from None


def _damaged(path: Path, error: Exception, mend: str) -> UserError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return UserError(f"{path}: cannot be read ({reason}); {mend}")
