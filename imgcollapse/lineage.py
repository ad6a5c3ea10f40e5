"""One lineage's folder: what a generation leaves, and reading it back.

A generation appears by one rename; the tables are derived from the committed generations and can
always be made again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from torch import Tensor

from imgcollapse.core import storage
from imgcollapse.core.archive import TrainingSet
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images
from imgcollapse.core.pool import Kept
from imgcollapse.tables import census_table, curation_table, metrics_table, write_table

MANIFEST, SAMPLES = "manifest.json", "samples.safetensors"
KEPT, WORDS = "kept.safetensors", "words.safetensors"
DIVERGED, WORK = "diverged.json", ".work"
_TRAIN_AGAIN = "restore it, or remove this and all later generations to train them again"


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

    def work(self, g: int) -> Path:
        """Where the unfinished work of generation g is kept."""
        return self.folder(g).with_suffix(WORK)

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

    def kept(self, g: int) -> Kept | None:
        """What of generation g entered the pool before the next model; None without filters."""
        filtered = KEPT in self.manifest(g + 1)["files"]
        return Kept(**self._load(g + 1, KEPT)) if filtered else None

    def model(self, g: int) -> dict[str, Tensor]:
        """State of the g-th model, g >= 1."""
        return self._load(g, "model.safetensors")

    def words(self, g: int) -> dict[str, Tensor] | None:
        """Word counts of generation g, or None where its images are not written as words."""
        return self._load(g, WORDS) if (self.folder(g) / WORDS).is_file() else None

    def manifest(self, g: int) -> dict[str, Any]:
        """What was written about generation g: file hashes, findings, seconds by stage."""
        if g not in self._manifests:  # what is committed does not change
            self._manifests[g] = storage.read_json(self.folder(g) / MANIFEST, _TRAIN_AGAIN)
        return self._manifests[g]

    @property
    def diverged(self) -> dict[str, Any] | None:
        """The generation whose training could not be saved, and why; None of a sound lineage."""
        path = self.path / DIVERGED
        mend = "remove it to train that generation again"
        return storage.read_json(path, mend) if path.is_file() else None

    @property
    def census(self) -> pd.DataFrame:
        """All census rows so far, each class with its status."""
        return census_table(self._rows("census"))

    @property
    def metrics(self) -> pd.DataFrame:
        """All metric rows so far."""
        return metrics_table(self._rows("metrics"))

    @property
    def curation(self) -> pd.DataFrame:
        """What filters kept of each generation; empty where nothing was filtered."""
        return curation_table(self._rows("curation"))

    def commit(
        self,
        g: int,
        samples: Images,
        counted: Tensor,
        grid: Image.Image,
        findings: Mapping[str, Any],
        training_set: TrainingSet | None = None,
        model: Mapping[str, Tensor] | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Write generation g aside and let it appear as a whole, then bring the tables up to date.

        Args:
            g: its number.
            samples: its images, real ones for g = 0.
            counted: int16[N], what the oracle named them.
            grid: a picture of some of them.
            findings: "census", "metrics" and "curation" rows, and what else is known of it; the
                tensors under "words" have a file of their own.
            training_set: what its model was trained on (g >= 1).
            model: its model's state (g >= 1).
            kept: what of generation g - 1 entered the pool, where filters chose.
        """
        with storage.new_folder(self.folder(g)) as folder:
            pixels = {"pixels": samples.pixels, "labels": samples.labels, "counted": counted}
            storage.write_tensors(folder / SAMPLES, pixels)
            if training_set is not None:
                storage.write_tensors(folder / "training_set.safetensors", vars(training_set))
            if model is not None:
                storage.write_tensors(folder / "model.safetensors", model)
            if kept is not None:
                storage.write_tensors(folder / KEPT, vars(kept))
            if "words" in findings:
                storage.write_tensors(folder / WORDS, findings["words"])
                findings = {name: found for name, found in findings.items() if name != "words"}
            storage.write_png(folder / "grid.png", grid)
            with storage.explained(folder):
                files = {p.name: storage.sha256(p) for p in sorted(folder.iterdir())}
            storage.write_json(folder / MANIFEST, {"generation": g, "files": files, **findings})
        self.write_tables()
        self.log("generation", generation=g, seconds=findings.get("seconds"))

    def end_diverged(self, g: int, why: str) -> None:
        """Write down that the lineage ends before generation g."""
        storage.write_json(self.path / DIVERGED, {"generation": g, "why": why})
        self.log("diverged", generation=g, why=why)

    def resume(self) -> range:
        """Make the folder whole again after an interruption.

        Returns:
            The numbers of the committed generations after generation 0.
        """
        storage.make_folder(self.path)
        storage.sweep_orphans(self.path)
        done = self.generations
        for work in self.path.glob(f"gen_*{WORK}"):
            if work != self.work(done):  # of a generation that is committed, or gone
                shutil.rmtree(work)
        there = (path.name for path in self.path.glob("gen_*") if path.suffix != WORK)
        later = sorted(name for name in there if name > self.folder(done).name)
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
        """Derive the tables from the committed generations."""
        write_table(self.path / "census.csv", self.census)
        write_table(self.path / "metrics.csv", self.metrics)
        if len(curation := self.curation):
            write_table(self.path / "curation.csv", curation)

    def log(self, event: str, **facts: Any) -> None:
        """Append to events.jsonl."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}
        with storage.explained(self.path), (self.path / "events.jsonl").open("ab+") as file:
            # A line that a crash cut short must not swallow this one.
            if file.tell() and file.seek(-1, os.SEEK_END) and file.read() != b"\n":
                file.write(b"\n")
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _load(self, g: int, name: str) -> dict[str, Tensor]:
        return storage.read_tensors(self.folder(g) / name, _TRAIN_AGAIN)

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [row for g in range(self.generations) for row in self.manifest(g).get(name, ())]
