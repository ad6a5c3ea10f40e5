"""The run folder of a study: its record, its oracle and its lineages.

The layout is a public contract (docs/run-folder.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
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
RECORD, ORACLE, SPLITS = "run.json", "oracle.safetensors", "splits.safetensors"
VOCABULARY, REPORT, ORACLE_WORK = "vocabulary.safetensors", "report.html", "oracle.work"
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
            ours = (ORACLE, SPLITS, VOCABULARY, ORACLE_WORK, LOCK)
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
        oracle: Mapping[str, Tensor],
        splits: Mapping[str, Tensor],
        vocabulary: Mapping[str, Tensor] | None = None,
    ) -> Run:
        """Make the folder; run.json comes last, so that a run has begun or it has not."""
        storage.make_folder(path)
        tensors = {ORACLE: oracle, SPLITS: splits} | (
            {VOCABULARY: vocabulary} if vocabulary else {}
        )
        files = {n: storage.write_tensors(path / n, named) for n, named in tensors.items()}
        full = {"format": FORMAT, **record, FILES: files}
        sealed.write_json(path / RECORD, full)
        return cls(path, full)

    def extend(self, study: Mapping[str, Any], splits: Mapping[str, Tensor]) -> None:
        """Take over the settings that may change between two sittings, and a longer reserve.

        Raises:
            UserError: fewer generations are asked for than are there.
        """
        done = max(lineage.generations for lineage in self.lineages) - 1
        if study["generations"] < done:
            raise UserError(
                f"generations: {study['generations']} is fewer than the {done} in {self.path}; "
                "ask for at least as many, or choose another --out"
            )
        if self.record["study"] != study or COMING in self.record or not self._has_splits():
            self._replace_splits(splits)
            self._write(study=dict(study))

    def changed(self, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """What the bits depend on beside the study and is not as it was: (then, now) by name."""
        then = self.made_with
        names = [*now, *(name for name in then if name not in now)]
        return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n)}

    def drift(self, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Write down that the run goes on with what has `changed`."""
        then = {name: before for name, (before, _) in changed.items()}
        now = {name: after for name, (_, after) in changed.items()}
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._write(drifts=[*self.drifts, {"when": when, "from": then, "to": now}])

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
            "run the study's command again" if name == SPLITS else RESTORE,
        )
        digests = [self.record.get(key, {}).get(name) for key in (FILES, COMING)]
        storage.check(path, mend, *filter(None, digests))
        return path

    def _load(self, name: str) -> dict[str, Tensor]:
        tensors = storage.read_tensors(path := self.check(name), RESTORE)
        records.check_tensors(path, tensors, RESTORE)
        return tensors

    def _has_splits(self) -> bool:
        """Whether they are good; where they are not, the source and the study give them again."""
        try:
            return bool(self.check(SPLITS))
        except UserError:
            return False

    def _replace_splits(self, splits: Mapping[str, Tensor]) -> None:
        """Two files cannot be replaced in one moment, so meanwhile either splits are good."""
        data = storage.packed(splits)
        self._write(**{COMING: {SPLITS: sha256(data).hexdigest()}})
        storage.write_bytes(self.path / SPLITS, data)
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


def _differences(mine: Any, theirs: Any, above: str = "") -> list[tuple[str, Any, Any]]:
    if not (isinstance(mine, Mapping) and isinstance(theirs, Mapping)):
        return [] if mine == theirs else [(above, mine, theirs)]
    found = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        below = f"{above}.{key}" if above else str(key)
        found += _differences(mine.get(key), theirs.get(key), below)
    return found
