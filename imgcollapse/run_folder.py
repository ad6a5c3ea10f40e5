"""The run folder of a study: its record, its oracle and its lineages.

The layout is a public contract (docs/run-folder.md).
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from torch import Tensor

from imgcollapse.core import records, sealed, storage
from imgcollapse.core.errors import UserError
from imgcollapse.core.lock import LOCK
from imgcollapse.lineage import Lineage
from imgcollapse.study import Study
from imgcollapse.tables import write_table

FORMAT = 4
RECORD, REPORT, ORACLE_WORK = "run.json", "report.html", "oracle.work"
ORACLE, VOCABULARY = "oracle.safetensors", "vocabulary.safetensors"
SPLITS, REAL_SIDE = "splits.safetensors", "real_side.safetensors"
CHANCE = "chance.safetensors"
DERIVED = SPLITS, REAL_SIDE, CHANCE
"""Files that the source and the study give again."""
FILES, COMING = "files", "coming"
"""Keys of run.json: sha256 of the files beside it, and of one that is about to replace one."""
RESTORE = "restore it, or choose another --out"
CHANGEABLE = (
    *("generations", "data.root", "data.path", "data.download", "oracle.weights"),
    *("checkpoint_seconds", "retention", "retention.samples", "retention.models"),
)
"""Settings that may differ when a run goes on: the rest, and the images' hash, may not."""


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
        record = sealed.read_json(path / RECORD, RESTORE, FORMAT)
        records.check_run(path / RECORD, record, RESTORE)
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
            ours = (ORACLE, VOCABULARY, *DERIVED, ORACLE_WORK, LOCK)
            foreign = sorted(n for n in held if n not in ours and storage.ASIDE not in n)
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
        tensors: Mapping[str, Mapping[str, Tensor]],
    ) -> Run:
        """Make the folder; run.json comes last, so that a run has begun or it has not.

        Args:
            path: the folder.
            record: what run.json says.
            tensors: the files beside it, by name.
        """
        storage.make_folder(path)
        files = {n: storage.write_tensors(path / n, named) for n, named in tensors.items()}
        full = {"format": FORMAT, **record, FILES: files}
        sealed.write_json(path / RECORD, full)
        return cls(path, full)

    def extend(
        self,
        study: Mapping[str, Any],
        derived: Mapping[str, Mapping[str, Tensor]],
        changed: Mapping[str, tuple[Any, Any]],
        **record: Any,
    ) -> None:
        """Take over what may change between two sittings.

        Args:
            study: its settings.
            derived: files named `DERIVED`, such as a longer reserve; of those that are left out
                the damaged are forgotten.
            changed: what else its bits depend on, which had been otherwise: (then, now) by name.
            record: what else run.json says.

        Raises:
            UserError: fewer generations are asked for than are there.
        """
        done = max(lineage.generations for lineage in self.lineages) - 1
        if study["generations"] < done:
            raise UserError(
                f"generations: {study['generations']} is fewer than the {done} in {self.path}; "
                "ask for at least as many, or choose another --out"
            )
        record |= {"study": dict(study)}
        if changed:
            record["drifts"] = [*self.drifts, _drift(changed)]
        settled = self._settle(derived)
        packed = {name: storage.packed(tensors) for name, tensors in derived.items()}
        stale = {name: data for name, data in packed.items() if not self._has(name, data)}
        if stale or settled or any(self.record.get(key) != record[key] for key in record):
            self._replace(stale)
            self._write(**record)

    def changed(self, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """What the bits depend on beside the study and is not as it was: (then, now) by name."""
        then = self.made_with
        names = [*now, *(name for name in then if name not in now)]
        return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n)}

    @property
    def drifts(self) -> list[dict[str, Any]]:
        """When the run went on with other software or on another machine, and what had changed."""
        return self.record.get("drifts", [])

    @property
    def made_with(self) -> dict[str, Any]:
        """What the bits of its last sitting depend on beside the study."""
        made = dict(self.record["made_with"])
        for drift in self.drifts:
            made |= drift["to"]
        return made

    @property
    def study(self) -> Study:
        """Its settings.

        Raises:
            UserError: they name a part that is not installed here, or make no sense.
        """
        try:
            return Study.model_validate(self.record["study"])
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            why = ".".join(map(str, ("study", *found["loc"]))) + f": {found['msg']}"
            raise UserError(
                f"{self.path / RECORD}: {why}; install what it needs, or restore it"
            ) from None

    def oracle(self) -> dict[str, Tensor]:
        """State of the oracle."""
        return self._load(ORACLE)

    def vocabulary(self) -> dict[str, Tensor] | None:
        """The words that images are written in, or None."""
        return self._load(VOCABULARY) if VOCABULARY in self.files else None

    def derived(self, name: str, made_with: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """One of the files named `DERIVED`, or None where it has to be found again.

        Args:
            name: which.
            made_with: what its bits depend on beside the study; otherwise it is another's.
        """
        if name not in self.files or COMING in self.record or self.changed(made_with):
            return None
        try:
            return self._load(name)
        except UserError:
            return None

    @property
    def reserve_labels(self) -> Tensor:
        """int16[R], classes of the fresh real images in the order they are used."""
        return self._load(SPLITS)["reserve_labels"]

    @property
    def census(self) -> pd.DataFrame:
        """census.csv; with several lineages it has a leading `lineage` column."""
        return self._over_lineages([lineage.census for lineage in self.lineages])

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv; with several lineages it has a leading `lineage` column."""
        return self._over_lineages([lineage.metrics for lineage in self.lineages])

    @property
    def curation(self) -> pd.DataFrame:
        """curation.csv; with several lineages it has a leading `lineage` column."""
        return self._over_lineages([lineage.curation for lineage in self.lineages])

    def write_tables(self) -> None:
        """Write the tables over all lineages."""
        write_table(self.path / "census.csv", self.census)
        write_table(self.path / "metrics.csv", self.metrics)
        if len(curation := self.curation):
            write_table(self.path / "curation.csv", curation)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files beside run.json that it has a sha256 of."""
        return tuple(self.record[FILES])

    def check(self, name: str) -> Path:
        """See that one of `files` is as it was written; returns where it is.

        Raises:
            UserError: it is not.
        """
        path, mend = (
            self.path / name,
            "run the study's command again" if name in DERIVED else RESTORE,
        )
        digests = [self.record.get(key, {}).get(name) for key in (FILES, COMING)]
        storage.check(path, mend, *filter(None, digests))
        return path

    def _load(self, name: str) -> dict[str, Tensor]:
        tensors = storage.read_tensors(path := self.check(name), RESTORE)
        records.check_tensors(path, tensors, RESTORE)
        return tensors

    def _has(self, name: str, data: bytes) -> bool:
        """Whether the record and the disk have a file with these contents."""
        digest = sha256(data).hexdigest()
        return self.record[FILES].get(name) == digest and self._is(name, digest)

    def _is(self, name: str, digest: str) -> bool:
        """Whether the disk has a file of this sha256."""
        try:
            storage.check(self.path / name, "", digest)
        except UserError:
            return False
        return True

    def _settle(self, derived: Container[str]) -> bool:
        """Take into the record what an earlier sitting did not get done; whether it changed.

        Which of two files is there says the disk; a damaged one that is not `derived` anew is
        forgotten, for a run without it is as good.
        """
        coming = self.record.pop(COMING, {})
        for name, digest in coming.items():
            if self._is(name, digest):
                self.record[FILES][name] = digest
        lost = [
            name
            for name, digest in self.record[FILES].items()
            if name in DERIVED and name not in derived and not self._is(name, digest)
        ]
        for name in lost:
            del self.record[FILES][name]
        return bool(coming or lost)

    def _replace(self, files: Mapping[str, bytes]) -> None:
        """Two files cannot be replaced in one moment, so meanwhile old and new ones are good."""
        if files:
            self._write(**{COMING: {n: sha256(data).hexdigest() for n, data in files.items()}})
            for name, data in files.items():
                storage.write_bytes(self.path / name, data)
            self.record[FILES] |= self.record.pop(COMING)

    def _write(self, **changes: Any) -> None:
        self.record |= changes
        sealed.write_json(self.path / RECORD, self.record)

    def _over_lineages(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        if len(tables) == 1:
            return tables[0]
        for lineage, table in zip(self.lineages, tables, strict=True):
            table.insert(0, "lineage", lineage.number)
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def _drift(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """What run.json says of a run that goes on with what has changed."""
    then = {name: before for name, (before, _) in changed.items()}
    now = {name: after for name, (_, after) in changed.items()}
    return {"when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "from": then, "to": now}


def _differences(mine: Any, theirs: Any, above: str = "") -> list[tuple[str, Any, Any]]:
    if not (isinstance(mine, Mapping) and isinstance(theirs, Mapping)):
        return [] if mine == theirs else [(above, mine, theirs)]
    found = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        below = f"{above}.{key}" if above else str(key)
        found += _differences(mine.get(key), theirs.get(key), below)
    return found
