"""One lineage's folder: what a generation leaves, and reading it back.

A generation appears by one rename; the tables are derived from the committed generations.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from imgcollapse.config.study import Keep, Retention
from imgcollapse.core.errors import UserError
from imgcollapse.core.images import Images, StoredImages
from imgcollapse.core.lineage_images import Selection, TrainingSet
from imgcollapse.core.sanitize import with_home
from imgcollapse.io import atomic, checksums, lock, schemas
from imgcollapse.runs.tables import Tables, census_table, curation_table, metrics_table

MANIFEST, SAMPLES, GRID = "manifest.json", "samples.safetensors", "grid.png"
TRAINING_SET, MODEL = "training_set.safetensors", "model.safetensors"
SELECTION, WORDS = "kept.safetensors", "words.safetensors"
LOG, DIVERGED, WORK = "events.jsonl", "diverged.json", ".work"
TRAIN_AGAIN = "restore it, or remove this and all later generations to train them again"


class PrunedError(UserError):
    """A file was removed because the study keeps only those of later generations."""


class Lineage:
    """One chain of generations and its folder; `number` is its repetition of the study, from 0.

    `made_with` is what the process that works in it depends on; it goes into each manifest.
    """

    def __init__(self, path: Path | str, number: int = 0) -> None:
        self.path = with_home(path)
        self.number = number
        self.made_with: Mapping[str, Any] = {}
        self._manifests: dict[int, dict[str, Any]] = {}
        self._tables = Tables()

    @property
    def generations(self) -> int:
        """Number of committed generations, the real generation 0 included."""
        count = 0
        while (self.folder(count) / MANIFEST).is_file():
            count += 1
        return count

    def folder(self, g: int) -> Path:
        """Folder of generation g."""
        return self.path / f"gen_{g:03d}"

    def checkpoint_folder(self, g: int) -> Path:
        """Checkpoint folder of generation g."""
        return self.folder(g).with_suffix(WORK)

    def samples(self, g: int) -> Images:
        """The images of generation g, mapped when needed; labels are the classes asked for."""
        labels = self._load(g, SAMPLES)["labels"].clone()
        return StoredImages(labels, lambda: self._load(g, SAMPLES)["pixels"])

    def counted(self, g: int) -> Tensor:
        """int16[N], the class the oracle named for each sample, or -1."""
        return self._load(g, SAMPLES)["counted"]

    def training_set(self, g: int) -> TrainingSet:
        """The training set of the g-th model, g >= 1."""
        return TrainingSet.from_runs(**self._load(g, TRAINING_SET))

    def selection(self, g: int) -> Selection | None:
        """The images of generation g that could be trained on; None without filters."""
        filtered = SELECTION in self.manifest(g + 1)["files"]
        return Selection(**self._load(g + 1, SELECTION)) if filtered else None

    def model(self, g: int) -> dict[str, Tensor]:
        """State of the g-th model, g >= 1."""
        return self._load(g, MODEL)

    def words(self, g: int) -> dict[str, Tensor] | None:
        """Word counts of generation g, or None where its images are not written as words."""
        return self._load(g, WORDS) if WORDS in self.manifest(g)["files"] else None

    def manifest(self, g: int) -> dict[str, Any]:
        """The manifest of generation g: file hashes, results, seconds by stage."""
        if g not in self._manifests:  # what is committed does not change
            path = self.folder(g) / MANIFEST
            manifest = checksums.read_json(path, TRAIN_AGAIN)
            schemas.validate_manifest(path, manifest, TRAIN_AGAIN)
            if manifest["generation"] != g:
                raise UserError(
                    f"{path}: is that of generation {manifest['generation']}; {TRAIN_AGAIN}"
                )
            self._manifests[g] = manifest
        return self._manifests[g]

    @property
    def diverged(self) -> dict[str, Any] | None:
        """The generation whose training could not be saved, and why; None without one."""
        path = self.path / DIVERGED
        if not path.is_file():
            return None
        fix = "remove it to train that generation again"
        schemas.validate_diverged(path, ended := checksums.read_json(path, fix), fix)
        return ended

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
        """The images that filters kept of each generation; empty without filters."""
        return curation_table(self._rows("curation"))

    def commit(
        self,
        g: int,
        samples: Images,
        counted: Tensor,
        findings: Mapping[str, Any],
        training_set: TrainingSet | None = None,
        model: Mapping[str, Tensor] | None = None,
        kept: Selection | None = None,
    ) -> None:
        """Write generation g aside and let it appear as a whole, then bring the tables up to date.

        For g >= 1 there are the training set and the model's state, and what was kept of generation
        g - 1 where filters chose. `findings` are "census", "metrics" and "curation" rows and what
        else is known; the tensors under "words" have a file of their own. `counted` is int16[N].
        """
        with atomic.new_folder(self.folder(g)) as folder:
            tensors: dict[str, Mapping[str, Tensor]] = {
                SAMPLES: {"pixels": samples.pixels, "labels": samples.labels, "counted": counted}
            }
            if training_set is not None:
                tensors[TRAINING_SET] = training_set.runs()
            if model is not None:
                tensors[MODEL] = model
            if kept is not None:
                tensors[SELECTION] = vars(kept)
            if "words" in findings:
                tensors[WORDS] = findings["words"]
                findings = {name: found for name, found in findings.items() if name != "words"}
            files = {n: atomic.write_tensors(folder / n, named) for n, named in tensors.items()}
            files[GRID] = atomic.write_png(folder / GRID, sample_grid(samples))
            about = {"generation": g, "files": files, "made_with": dict(self.made_with)}
            checksums.write_json(folder / MANIFEST, about | dict(findings))
            lock.assert_still_owner(self.path)
        self.write_tables()
        self.log("generation", generation=g, seconds=findings.get("seconds"))

    def mark_diverged(self, g: int, why: str) -> None:
        """Write down that the lineage ends before generation g."""
        checksums.write_json(self.path / DIVERGED, {"generation": g, "why": why})
        self.log("diverged", generation=g, why=why)

    def resume(self) -> range:
        """Make the folder whole after an interruption; returns the numbers of committed models."""
        atomic.make_folder(self.path)
        for folder in (self.path, *self.path.glob("gen_*[0-9]")):
            atomic.remove_orphans(folder)
        self.check_order()
        done = self.generations
        for work in self.path.glob(f"gen_*{WORK}"):
            if work != self.checkpoint_folder(done):  # of a generation that is committed, or gone
                shutil.rmtree(work)
        if done:
            self.write_tables()
        self.log("start", generations=self.generations)
        return range(1, self.generations)

    def check_order(self) -> None:
        """Raise a UserError if a generation is missing before a later one."""
        lost = self.folder(self.generations)
        there = [p.name for p in self.path.iterdir() if re.fullmatch(r"gen_\d{3,}", p.name)]
        there.sort(key=lambda name: int(name.removeprefix("gen_")))
        if later := there[self.generations :]:
            fix = f"restore it, or remove {later[0]} and all after it to train them again"
            if later[0] == lost.name:
                raise UserError(f"{lost}: its {MANIFEST} is missing; {fix}")
            raise UserError(
                f"{lost}: is missing but {later[0]}, which descends from it, is there; {fix}"
            )

    def write_tables(self) -> None:
        """Bring the tables up to date with the committed generations."""
        for g in range(self._tables.generations, self.generations):
            self._tables.add(self.manifest(g))
        self._tables.write(self.path)
        # Hundreds of generations have megabytes of findings, which are in the tables now.
        self._manifests.clear()

    def log(self, event: str, **facts: Any) -> None:
        """Append to events.jsonl."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        checksums.append_line(self.path / LOG, {"time": when, "event": event, **facts})

    def invalidate(self, g: int) -> None:
        """Read a manifest anew the next time."""
        self._manifests.pop(g, None)

    def pruned(self, g: int) -> frozenset[str]:
        """Files of generation g that retention has removed."""
        return frozenset(self.manifest(g).get("pruned", ()))

    def prune(self, retention: Retention, first: int = 1) -> None:
        """Remove samples and models that are not kept of generations from `first`; 0 stays whole.

        A manifest names what is removed before it is, so that a removal which is cut short is
        finished by the next.
        """
        keeps: dict[str, Keep] = {SAMPLES: retention.samples, MODEL: retention.models}
        last = self.generations - 1
        for g in range(max(first, 1), last + 1):
            manifest, folder, removed = self.manifest(g), self.folder(g), set(self.pruned(g))
            old = {name for name, keep in keeps.items() if keep != "all" and last - g >= keep}
            if removes := (old & manifest["files"].keys()) - removed:
                removed |= removes
                checksums.write_json(folder / MANIFEST, manifest | {"pruned": sorted(removed)})
                self.invalidate(g)
            for name in removed:
                with atomic.wrap_os_errors(folder):
                    (folder / name).unlink(missing_ok=True)

    def _load(self, g: int, name: str) -> dict[str, Tensor]:
        path = self.folder(g) / name
        try:
            digests = [d for n, d in self.manifest(g)["files"].items() if n == name]
            tensors = atomic.read_tensors(path, TRAIN_AGAIN, *digests)
        except UserError:
            self.invalidate(g)  # it may have gone since its manifest was read
            if path.is_file() or name not in self.pruned(g):
                raise
            raise PrunedError(
                f"{path}: was removed, for the study keeps those of later generations alone "
                "(retention); ask for a later one"
            ) from None
        schemas.validate_tensors(path, tensors, TRAIN_AGAIN)
        return tensors

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [row for g in range(self.generations) for row in self.manifest(g).get(name, ())]


def sample_grid(images: Images, columns: int = 16, rows: int = 8, width: int = 1024) -> Image.Image:
    """The first columns x rows images side by side, enlarged in whole steps to about `width`."""
    shown = images.pixels[: columns * rows]
    tiles = make_grid(shown, nrow=columns, padding=1, pad_value=255)
    zoom = max(1, width // tiles.shape[-1])
    picture = to_pil_image(tiles)
    size = picture.width * zoom, picture.height * zoom
    return picture.resize(size, Image.Resampling.NEAREST)
