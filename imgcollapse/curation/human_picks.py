"""What people keep of a generation, drop, and call by another name.

Picks are made with `imgcollapse review` and lie in the lineage's folder (verdicts.py).
"""

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
from imgcollapse.curation.picks_file import Picks, PicksTarget, place, run_of
from imgcollapse.io import atomic


class ByHand(Filter):
    """People's verdicts: what they reject or call nonsense is dropped, what they rename is renamed.

    A new name is the label a conditional model is trained with; an unconditional one is told none.

    Attributes:
        wait: whether training waits until the picks are there and marked as done; without it what
            is there at the time is used.
        unreviewed: what becomes of samples without a verdict.
    """

    kind: Literal["picks"] = "picks"
    wait: bool = True
    unreviewed: Literal["keep", "drop"] = "keep"

    def pending_reason(self, generation: int, folder: Path) -> str | None:
        """The command that leads to picks that are done."""
        if not self.wait or generation == 0:
            return None
        command = _command(folder, generation)
        try:
            if Picks.of(folder, PicksTarget.at(folder, generation)).finished:
                return None
        except UserError as error:
            return f"{error}: {command}"  # whoever copies it here may not be through
        return f"generation {generation} waits for people's picks, marked as done: {command}"

    def dependencies(self, generation: int, folder: Path) -> Mapping[str, str]:
        """The picks file."""
        path = place(folder, generation)
        if generation == 0 or not path.is_file():
            return {}
        return {path.relative_to(folder).as_posix(): atomic.sha256(path)}

    def keep(self, seen: FilterInput, seed: Seed) -> Selection:
        """All but what people drop, in order, under the names that people give.

        Raises:
            UserError: the picks are not about this generation, or leave nothing of it.
        """
        subject = PicksTarget.at(seen.folder, seen.generation)
        picks = Picks.of(seen.folder, subject)
        enters = ~picks.dropped(subject.size)
        if self.unreviewed == "drop":
            reviewed = torch.zeros(subject.size, dtype=torch.bool)
            reviewed[list(picks.reviewed)] = True
            enters &= reviewed
        chosen = enters[seen.rows.long()].nonzero().flatten()
        if len(seen) and not len(chosen):
            raise UserError(
                f"{place(seen.folder, seen.generation)}: picks leave nothing of generation "
                f"{seen.generation}; keep something: {_command(seen.folder, seen.generation)}"
            )
        kept = seen.select(chosen)
        old = torch.full((subject.size,), UNKNOWN, dtype=kept.labels.dtype)
        old[kept.rows.long()] = kept.labels
        named = picks.corrected(old, subject.classes)[kept.rows.long()]
        return Selection(kept.rows, torch.where(kept.labels == UNKNOWN, kept.labels, named))


def _command(folder: Path, generation: int) -> str:
    run, number = run_of(folder)
    return f"imgcollapse review {shlex.quote(str(run))} --generation {generation}" + (
        "" if run == folder else f" --lineage {number}"
    )
