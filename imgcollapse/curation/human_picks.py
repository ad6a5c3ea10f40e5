"""Filter: people keep, drop and rename samples with `imgcollapse review` (picks_file.py)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from imgcollapse.core.errors import UserError
from imgcollapse.core.images import UNKNOWN
from imgcollapse.core.lineage_images import Selection
from imgcollapse.core.seeds import Seed
from imgcollapse.curation.base import Filter, FilterInput
from imgcollapse.curation.picks_file import Picks, PicksTarget, find_run, picks_path
from imgcollapse.io import atomic


class ByHand(Filter):
    """Applies people's verdicts: rejected samples and nonsense are dropped, others may be renamed.

    A new name is the label that a conditional model is trained with.
    """

    kind: Literal["picks"] = "picks"
    wait: bool = True  # until the picks are marked as done; else those there at the time are used
    unreviewed: Literal["keep", "drop"] = "keep"  # samples without a verdict

    def pending_reason(self, generation: int, folder: Path) -> str | None:
        """Return a line with the review command until the picks are marked as done."""
        if not self.wait or generation == 0:
            return None
        command = _command(folder, generation)
        try:
            if Picks.load(folder, PicksTarget.open(folder, generation)).finished:
                return None
        except UserError as error:
            return f"{error}: {command}"  # the file may still be being copied
        return f"generation {generation} waits for picks marked as done: {command}"

    def dependencies(self, generation: int, folder: Path) -> Mapping[str, str]:
        """Return the picks file and its sha256."""
        path = picks_path(folder, generation)
        if generation == 0 or not path.is_file():
            return {}
        return {path.relative_to(folder).as_posix(): atomic.sha256(path)}

    def keep(self, inputs: FilterInput, seed: Seed) -> Selection:
        """Keep what people do not drop, in order, with the classes that people name.

        Raises:
            UserError: the picks are not about this generation, or drop all of it.
        """
        target = PicksTarget.open(inputs.folder, inputs.generation)
        picks = Picks.load(inputs.folder, target)
        kept_rows = ~picks.dropped(target.size)
        if self.unreviewed == "drop":
            reviewed = torch.zeros(target.size, dtype=torch.bool)
            reviewed[list(picks.reviewed)] = True
            kept_rows &= reviewed
        chosen = kept_rows[inputs.rows.long()].nonzero().flatten()
        if len(inputs) and not len(chosen):
            raise UserError(
                f"{picks_path(inputs.folder, inputs.generation)}: picks drop all of generation "
                f"{inputs.generation}; keep some: {_command(inputs.folder, inputs.generation)}"
            )
        kept = inputs.select(chosen)
        old = torch.full((target.size,), UNKNOWN, dtype=kept.labels.dtype)
        old[kept.rows.long()] = kept.labels
        named = picks.corrected(old, target.classes)[kept.rows.long()]
        return Selection(kept.rows, torch.where(kept.labels == UNKNOWN, kept.labels, named))


def _command(folder: Path, generation: int) -> str:
    run, number = find_run(folder)
    return f"imgcollapse review {shlex.quote(str(run))} --generation {generation}" + (
        "" if run == folder else f" --lineage {number}"
    )
