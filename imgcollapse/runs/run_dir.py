"""The run folder of a study: its record, its oracle and its lineages (docs/run-folder.md)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from torch import Tensor

from imgcollapse.config.study import Study, setting
from imgcollapse.core.errors import UserError
from imgcollapse.core.sanitize import with_home
from imgcollapse.io import atomic, checksums, schemas
from imgcollapse.io.checksums import FILES, ChecksummedFiles
from imgcollapse.io.lock import LOCK
from imgcollapse.runs import RECORD, check_is_run
from imgcollapse.runs.lineage_dir import Lineage
from imgcollapse.runs.tables import write_table

FORMAT = 4
REPORT, ORACLE_WORK = "report.html", "oracle.work"
ORACLE, VOCABULARY = "oracle.safetensors", "vocabulary.safetensors"
SPLITS, REAL_SIDE = "splits.safetensors", "real_side.safetensors"
CHANCE = "chance.safetensors"
DERIVED = SPLITS, REAL_SIDE, CHANCE
"""Files that the source and the study give again."""
RESTORE = "restore it, or choose another --out"


class OtherStudyError(UserError):
    """A run folder belongs to another study; `folder` and `difference` say which and how."""

    def __init__(self, folder: Path, difference: str) -> None:
        super().__init__(f"{folder}: belongs to another study ({difference}); choose another --out")
        self.folder, self.difference = folder, difference


class Run:
    """A study's folder: its record (run.json), its oracle and its lineages.

    There is one `Lineage` for each repetition; a single one shares the study's folder.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        self._files = ChecksummedFiles(path, record, self._write)
        count = record["study"]["lineages"]
        self.lineages = (
            [Lineage(path)]
            if count == 1
            else [Lineage(path / f"lineage_{i:03d}", i) for i in range(count)]
        )

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Read a run folder; a UserError if it is none, or of an unknown format."""
        path = with_home(path)
        with atomic.wrap_os_errors(path):
            atomic.restore(path / RECORD)
            check_is_run(path)
        record = checksums.read_json(path / RECORD, RESTORE, FORMAT)
        schemas.validate_run_record(path / RECORD, record, RESTORE)
        return cls(path, record)

    @classmethod
    def find(cls, path: Path, study: Mapping[str, Any]) -> Run | None:
        """The run of this study in `path`, or None where nothing has begun; writes nothing.

        Raises:
            UserError: the folder holds something else, or another study's run.
        """
        with atomic.wrap_os_errors(path):
            begun = atomic.restore(path / RECORD).is_file()
            held = [p.name for p in path.iterdir()] if path.exists() and not begun else []
        if not begun:
            ours = (ORACLE, VOCABULARY, *DERIVED, ORACLE_WORK, LOCK)
            foreign = sorted(n for n in held if n not in ours and atomic.ASIDE not in n)
            if foreign:
                raise UserError(
                    f"{path}: not empty and not a run folder (it holds {foreign[0]}); choose "
                    "another --out"
                )
            return None
        run = cls.open(path)
        for key, mine, theirs in _differences(study, run.record["study"]):
            if "run" not in setting(key).may_change:
                raise OtherStudyError(path, f"{key} is {theirs!r} there, {mine!r} here")
        return run

    @classmethod
    def begin(
        cls, path: Path, record: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]
    ) -> Run:
        """Make the folder with named tensor files; run.json comes last: a run has begun or not."""
        atomic.make_folder(path)
        files = {n: atomic.write_tensors(path / n, named) for n, named in tensors.items()}
        full = {"format": FORMAT, **record, FILES: files}
        checksums.write_json(path / RECORD, full)
        return cls(path, full)

    def extend(
        self,
        study: Mapping[str, Any],
        derived: Mapping[str, Mapping[str, Tensor]],
        changed: Mapping[str, tuple[Any, Any]],
        **record: Any,
    ) -> None:
        """Update the settings and files that may change when a run is resumed.

        `derived` are files named `DERIVED`, such as a longer reserve; of those left out the damaged
        are forgotten. `changed` is what else its bits depend on: (then, now) by name. `record` is
        what else run.json says.

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
            record["drifts"] = [*self.environment_changes, _drift(changed)]
        settled = self._files.reconcile([name for name in DERIVED if name not in derived])
        replaced = self._files.replace(derived)
        if settled or replaced or any(self.record.get(key) != record[key] for key in record):
            self.record |= record
            self._write()

    def changed_since(self, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Changes of the environment, which the bits depend on: (then, now) by name."""
        then = self.environment
        names = [*now, *(name for name in then if name not in now)]
        return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n)}

    @property
    def environment_changes(self) -> list[dict[str, Any]]:
        """Each change of software or machine that the run was resumed with, and its time."""
        return self.record.get("drifts", [])

    @property
    def environment(self) -> dict[str, Any]:
        """The environment of the last process that worked on the run."""
        made = dict(self.record["made_with"])
        for drift in self.environment_changes:
            made |= drift["to"]
        return made

    @property
    def study(self) -> Study:
        """Its settings; a UserError if they name a part that is not installed, or make no sense."""
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

        `made_with` is what its bits depend on beside the study; otherwise it is another's.
        """
        if name not in self.files or self._files.replacing or self.changed_since(made_with):
            return None
        try:
            return self._load(name)
        except UserError:
            return None

    @property
    def measured_null(self) -> Tensor | None:
        """Class shares that the census finds under drift alone, float32[S, G+1, K], if known."""
        if CHANCE not in self.files or self._files.replacing:
            return None
        found = self._load(CHANCE).get("measured")
        return found if found is not None and len(found) else None

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
        """Path of one of `files`; a UserError if it is not as it was written."""
        return self._files.check(
            name, "run the study's command again" if name in DERIVED else RESTORE
        )

    def _load(self, name: str) -> dict[str, Tensor]:
        return self._files.load(name, RESTORE)

    def _write(self) -> None:
        checksums.write_json(self.path / RECORD, self.record)

    def _over_lineages(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        if len(tables) == 1:
            return tables[0]
        for lineage, table in zip(self.lineages, tables, strict=True):
            table.insert(0, "lineage", lineage.number)
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def _drift(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The entry in run.json for a change of the environment."""
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
