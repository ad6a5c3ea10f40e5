"""Whether what a lineage's files say of each other can be true."""

from __future__ import annotations

import torch
from torch import Tensor

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN, UNRECOGNIZED
from imgcollapse.core.lineage_images import REMOVED, RESERVE
from imgcollapse.runs.lineage_dir import (
    MANIFEST,
    SAMPLES,
    SELECTION,
    TRAIN_AGAIN,
    TRAINING_SET,
    Lineage,
)
from imgcollapse.runs.run_dir import Run
from imgcollapse.tools.verify.result import Check


def check_structure(run: Run) -> Check:
    """Follow every training image back to its source, and count every class again."""
    check, count = Check("lineages", run.path), 0
    for lineage in run.lineages:
        sizes: dict[int, int] = {}
        pools: dict[int, Tensor] = {}
        for g in range(lineage.generations):
            try:
                sizes[g] = _size(lineage, g)
                if SAMPLES not in lineage.manifest(g).get("pruned", ()):
                    _check_samples(run, lineage, g)
                if g > 0:
                    if (kept := lineage.selection(g - 1)) is not None:
                        pools[g - 1] = kept.rows
                    if TRAINING_SET not in lineage.manifest(g).get("pruned", ()):
                        count += _check_training_set(run, lineage, g, sizes, pools)
            except UserError as error:
                check.blame(error)
    check.extent = f"{count:,} training images led back to their source"
    return check


def _size(lineage: Lineage, g: int) -> int:
    """How many samples generation g has, by its census."""
    return int(lineage.manifest(g)["census"][0]["n"])


def _check_samples(run: Run, lineage: Lineage, g: int) -> None:
    """See that labels are classes, and that the census has counted what is there.

    Raises:
        UserError: not so.
    """
    path, classes = lineage.folder(g) / SAMPLES, run.record["classes"]
    labels, counted, asked = lineage.samples(g).labels, lineage.counted(g), run.record["study"]
    for name, values in (("labels", labels), ("counted", counted)):
        if len(values) and not UNKNOWN <= int(values.min()) <= int(values.max()) < len(classes):
            raise UserError(f"{path}: {name} has a class that the study has not; {TRAIN_AGAIN}")
    names = {**dict(enumerate(classes)), UNKNOWN: UNRECOGNIZED}
    there = {name: int((counted == label).sum()) for label, name in names.items()}
    said = {row["class"]: row["counted"] for row in lineage.manifest(g)["census"]}
    if said != there:
        raise UserError(
            f"{lineage.folder(g) / MANIFEST}: its census counts other classes than {SAMPLES} names;"
            f" {TRAIN_AGAIN}"
        )
    if g > 0 and asked.get("samples") not in (None, len(labels)):
        raise UserError(f"{path}: has {len(labels)} of {asked['samples']} samples; {TRAIN_AGAIN}")


def _check_training_set(
    run: Run, lineage: Lineage, g: int, sizes: dict[int, int], pools: dict[int, Tensor]
) -> int:
    """See that every training image was there, and had been kept; returns how many there are.

    Raises:
        UserError: one was not.
    """
    path, chosen = lineage.folder(g) / TRAINING_SET, lineage.training_set(g)
    if len(chosen.generation) != len(chosen.row) or not len(chosen):
        raise UserError(f"{path}: is empty, or has rows without a generation; {TRAIN_AGAIN}")
    for source in chosen.generation.unique().tolist():
        if source < g and source not in (*sizes, RESERVE):
            continue  # its own manifest is wrong, and named
        rows = chosen.row[chosen.generation == source]
        if not RESERVE <= source < g:
            raise UserError(f"{path}: names generation {source}, a later one; {TRAIN_AGAIN}")
        size = len(run.reserve_labels) if source == RESERVE else sizes[source]
        if not 0 <= int(rows.min()) <= int(rows.max()) < size:
            raise UserError(f"{path}: names a row that generation {source} has not; {TRAIN_AGAIN}")
        if source in pools:
            kept = pools[source]
            if len(kept) and not (REMOVED <= int(kept.min()) <= int(kept.max()) < size):
                place = lineage.folder(source + 1) / SELECTION
                raise UserError(f"{place}: names a row that is not there; {TRAIN_AGAIN}")
            if not torch.isin(rows, kept[kept != REMOVED]).all():
                raise UserError(f"{path}: names a row that no filter has kept; {TRAIN_AGAIN}")
    return len(chosen)
