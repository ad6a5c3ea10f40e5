"""The run folder of a study: its record, its oracle and its lineages.

The layout is a public contract (docs/run-folder.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from imgcollapse.core import storage
from imgcollapse.core.errors import UserError
from imgcollapse.lineage import Lineage
from imgcollapse.tables import write_table

FORMAT = 3
RECORD, ORACLE, SPLITS = "run.json", "oracle.safetensors", "splits.safetensors"
VOCABULARY, ORACLE_WORK = "vocabulary.safetensors", "oracle.work"
CHANGEABLE = (
    "generations",
    "checkpoint_seconds",
    "data.root",
    "data.path",
    "data.download",
    "oracle.weights",
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
        record = storage.read_json(path / RECORD, "restore it, or choose another --out")
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
            ours = (ORACLE, SPLITS, VOCABULARY, ORACLE_WORK)
            foreign = sorted(n for n in held if n not in ours and ".tmp" not in n)
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
        storage.write_tensors(path / ORACLE, oracle)
        storage.write_tensors(path / SPLITS, splits)
        if vocabulary:
            storage.write_tensors(path / VOCABULARY, vocabulary)
        full = {"format": FORMAT, **record}
        storage.write_json(path / RECORD, full)
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
        if self.record["study"] != study:
            storage.write_tensors(self.path / SPLITS, splits)
            self.record["study"] = dict(study)
            storage.write_json(self.path / RECORD, self.record)

    def oracle(self) -> dict[str, Tensor]:
        """State of the oracle."""
        return storage.read_tensors(self.path / ORACLE, "restore it, or choose another --out")

    def vocabulary(self) -> dict[str, Tensor] | None:
        """The words that images are written in, or None."""
        path = self.path / VOCABULARY
        mend = "restore it, or choose another --out"
        return storage.read_tensors(path, mend) if path.is_file() else None

    @property
    def reserve_labels(self) -> Tensor:
        """int16[R], classes of the fresh real images in the order they are used."""
        return storage.read_tensors(self.path / SPLITS, "run the study's command again")[
            "reserve_labels"
        ]

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
